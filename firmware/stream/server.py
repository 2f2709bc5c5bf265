"""Listens on one address and serves the routes it is given; it knows nothing of what they do."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from aioice.ice import get_host_addresses

from firmware.stream.admission import Admission, add_security_headers, admit
from firmware.stream.body import MAX_BODY
from firmware.stream.door import Door
from firmware.stream.gate import Gate
from firmware.stream.listen import ANYWHERE, Listen, bind, read_listen, read_tls
from firmware.stream.options import StreamOptions
from firmware.stream.problem import problems
from firmware.stream.remote import PROXIES
from firmware.stream.slash import without_slash
from firmware.stream.visitor import attend, receiving

SHUTDOWN_S = 2.0
ANSWER_S = 5.0


class Routes(Protocol):
    """Handlers that belong together, such as the pages."""

    def add_to(self, app: web.Application) -> None:
        """Add them to the application."""
        ...


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """Where the server can be reached, such as `http://127.0.0.1:8080`."""

    url: str
    host: str
    port: int

    def reached(self) -> list[str]:
        """Return the addresses to open from elsewhere; none where all are listened on and there is none."""
        if self.host not in ANYWHERE:
            return [self.url]
        scheme = self.url.partition(":")[0]
        found = get_host_addresses(use_ipv4=True, use_ipv6=":" in self.host)
        return [Listen(address, self.port).url(scheme) for address in found]


def build(options: StreamOptions, listen: Listen, gate: Gate, routes: Sequence[Routes]) -> web.Application:
    """Return the web application: every route behind the same admission, headers and problem documents."""

    def rules() -> Admission:
        now = options.settings()
        # Loopback has more addresses than its names: whoever listens on 127.0.0.2 is asked by that name.
        names = frozenset((listen.host, *(name.lower() for name in now.host_names)))
        return Admission(listen.loopback, names, frozenset(now.origins))

    middlewares = [attend, problems, gate.record, admit(rules), gate.know, without_slash]
    app = web.Application(client_max_size=MAX_BODY, middlewares=middlewares)
    app[PROXIES] = lambda: frozenset(options.settings().trusted_proxies)
    app.on_response_prepare.append(add_security_headers)
    for route in routes:
        route.add_to(app)
    return app


def _read(options: StreamOptions) -> tuple[Listen, ssl.SSLContext | None]:
    listen = read_listen(options.listen)
    return listen, read_tls(options.settings(), listen, options.tls)


@asynccontextmanager
async def serve(options: StreamOptions, gate: Gate, routes: Sequence[Routes]) -> AsyncIterator[ServedAddress]:
    """Serve until the block ends.

    Raises:
        ConfigError: an option is not valid, or plain HTTP was asked for beyond loopback.
        PortInUse: the address is taken or cannot be bound.
    """
    listen, tls = await asyncio.to_thread(_read, options)
    with bind(listen) as sock:
        bound = replace(listen, port=sock.getsockname()[1])
        runner = web.AppRunner(
            build(options, listen, gate, routes), access_log=None, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        try:
            async with receiving(sock, tls, _server_of(runner), Door()):
                yield ServedAddress(bound.url("https" if tls else "http"), bound.host, bound.port)
        finally:
            await runner.cleanup()


def _server_of(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    return runner.server


async def answers(url: str) -> bool:
    """Say whether a camera answers at its own address; whose certificate it has is not asked."""
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=ANSWER_S)) as http,
            http.get(f"{url}/healthz", ssl=False) as answer,
        ):
            return answer.status == 200
    except (ClientError, TimeoutError, OSError):
        return False
