"""Listens on one address and serves the pages, WHEP and the status."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from firmware.core.frames import Redacted
from firmware.fanout import Fanout
from firmware.stream.admission import Admission, add_security_headers, admit
from firmware.stream.aiortc_seams import check_seams, keep_quiet
from firmware.stream.ice import IcePolicy, read_policy
from firmware.stream.listen import Listen, bind, read_listen, read_tls
from firmware.stream.options import StreamOptions
from firmware.stream.pages import Pages
from firmware.stream.problem import problems
from firmware.stream.status import StatusSource
from firmware.stream.telemetry import Telemetry
from firmware.stream.viewers import Viewers
from firmware.stream.whep import MAX_BODY, Whep

SHUTDOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """Where the server can be reached, such as `http://127.0.0.1:8080`."""

    url: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the files, the packages and the environment had to give before anything listens."""

    listen: Listen
    tls: ssl.SSLContext | None
    policy: IcePolicy
    pages: Pages


def prepare(options: StreamOptions) -> Prepared:
    """Check the options and read every file; blocks, so it runs in a thread. Raises as `serve` does."""
    check_seams()
    keep_quiet()
    listen = read_listen(options.listen)
    tls = read_tls(options, listen)
    return Prepared(listen, tls, read_policy(options.ice_addresses, os.environ), Pages(options.contact))


def build(options: StreamOptions, made: Prepared, viewers: Viewers, telemetry: Telemetry) -> web.Application:
    """Return the web application."""
    rules = Admission(
        made.listen.loopback,
        frozenset(name.lower() for name in options.host_names),
        frozenset(options.origins),
    )
    app = web.Application(client_max_size=MAX_BODY, middlewares=[problems, admit(rules)])
    app.on_response_prepare.append(add_security_headers)
    made.pages.add_to(app)
    Whep(viewers).add_to(app)
    telemetry.add_to(app)
    return app


@asynccontextmanager
async def serve(
    options: StreamOptions, fanout: Fanout[Redacted], status: StatusSource, tasks: asyncio.TaskGroup
) -> AsyncIterator[ServedAddress]:
    """Serve until the block ends; `tasks` runs the reaper of dead sessions.

    Raises:
        ConfigError: an option is not valid, or plain HTTP was asked for beyond loopback.
        PortInUse: the address is taken or cannot be bound.
        DriverUnavailable: the installed aiortc or aioice is not the one this release was made for.
    """
    made = await asyncio.to_thread(prepare, options)
    viewers = Viewers(
        fanout, made.policy, most=options.max_viewers, connect_within_s=options.connect_within_s
    )
    app = build(options, made, viewers, Telemetry(fanout, viewers, status))
    with bind(made.listen) as sock:
        bound = replace(made.listen, port=sock.getsockname()[1])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        # The task group is the caller's: an error of the reaper ends the camera, not only this server.
        reaper = tasks.create_task(viewers.reap(), name="stream reaper")
        try:
            await web.SockSite(runner, sock, ssl_context=made.tls).start()
            yield ServedAddress(bound.url("https" if made.tls else "http"), bound.host, bound.port)
        finally:
            reaper.cancel()
            await viewers.close()
            await runner.cleanup()
