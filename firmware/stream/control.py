"""The device's own command line: the same interface on a socket in the state folder, for its owner alone.

Who may open the socket (0600, in a folder of 0700) could also read and write everything in that folder.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web

from firmware.access.roles import CONSOLE
from firmware.errors import CameraRefused, OutputError
from firmware.stream.body import MAX_BODY
from firmware.stream.gate import Gate
from firmware.stream.problem import problems
from firmware.stream.remote import PROXIES
from firmware.stream.server import SHUTDOWN_S, Routes
from firmware.stream.who import always

NAME = "control.sock"
ANSWER_S = 1800.0
"""An update is fetched and written meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the command line; `body` is sent as JSON."""

    method: str
    path: str
    body: Mapping[str, object] | None = None


@asynccontextmanager
async def serve_control(state: Path, gate: Gate, routes: Sequence[Routes]) -> AsyncIterator[None]:
    """Serve the command line until the block ends; raises OutputError."""
    middlewares = [problems, always(CONSOLE), gate.record]
    app = web.Application(client_max_size=MAX_BODY, middlewares=middlewares)
    app[PROXIES] = frozenset
    for route in routes:
        route.add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, auto_decompress=False)
    with await asyncio.to_thread(_bound, state) as listening:
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            yield
        finally:
            await runner.cleanup()


async def call(state: Path, asked: Asked) -> str:
    """Ask whoever serves a state folder; returns the body of the answer.

    Raises:
        CameraRefused: it said no; the text says why.
        OutputError: nobody answers.
    """
    with _short(state / NAME) as path:
        timeout = ClientTimeout(total=ANSWER_S)
        try:
            async with (
                ClientSession(connector=UnixConnector(path), timeout=timeout) as http,
                http.request(asked.method, f"http://control{asked.path}", json=asked.body) as answer,
            ):
                text = await answer.text()
        except (ClientError, TimeoutError) as exc:
            raise OutputError(f"{state}: the camera that runs there does not answer; start it again") from exc
    if answer.status >= 400:
        raise CameraRefused(_detail(text))
    return text


def _detail(text: str) -> str:
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the camera refused, without a reason"


def _bound(state: Path) -> socket.socket:
    path = state / NAME
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as short:
            listening.bind(short)
        path.chmod(0o600)
        listening.listen(16)
    except OSError as exc:
        listening.close()
        raise OutputError(f"{path}: cannot be made: {exc.strerror}; choose another --state") from exc
    return listening


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name for a socket's path that fits, whatever its folder is called: 107 bytes are the most."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
