"""HTTP connections as aiohttp serves them, held to the door's limits, and the loop that lets them in."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from firmware.stream.admission import SECURITY_HEADERS
from firmware.stream.door import ARRIVING_S, IDLE_S, Caller, Door
from firmware.stream.problem import document

logger = logging.getLogger(__name__)
NO_LOG = logging.getLogger(f"{__name__}.access")
"""Addresses of viewers are nobody's business."""
NO_LOG.disabled = True

ACCEPT_PAUSE_S = 0.1
"""How long nobody is let in where the process has no descriptor left."""


class Visitor(web.RequestHandler):
    """aiohttp's protocol for one connection; what it says about malformed requests names no version."""

    def __init__(self, server: web.Server, caller: Caller, door: Door) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_S,
            lingering_time=2.0,
            # A body that cannot be unpacked would be a failure of ours to aiohttp: `body` unpacks it.
            auto_decompress=False,
            access_log=NO_LOG,
        )
        self.caller = caller
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        super().connection_made(transport)
        if isinstance(transport, asyncio.Transport):
            self.caller.attach(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._door.leave(self.caller)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read, or what failed; a malformed request is no traceback's worth."""
        if isinstance(exc, ConnectionError):
            logger.debug("somebody went in the middle of a request")
        elif status >= 500:
            logger.error("a request failed: %s", type(exc).__name__, exc_info=exc)
        else:
            logger.warning("a malformed request: %s", type(exc).__name__)
        detail = "the camera failed to answer" if status >= 500 else "the request is malformed"
        answer = document(status, detail, SECURITY_HEADERS)
        answer.force_close()
        return answer


@web.middleware
async def attend(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep a connection open while its request is answered."""
    visitor = request.protocol
    if not isinstance(visitor, Visitor):
        return await handler(request)
    with visitor.caller.answered():
        return await handler(request)


@asynccontextmanager
async def receiving(
    listening: socket.socket, tls: ssl.SSLContext | None, server: web.Server, door: Door
) -> AsyncIterator[None]:
    """Let connections in for the length of the block."""
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(door.sweep())
        accepting = tasks.create_task(_accept(listening, tls, server, door, tasks))
        try:
            yield
        finally:
            sweeping.cancel()
            accepting.cancel()


async def _accept(
    listening: socket.socket,
    tls: ssl.SSLContext | None,
    server: web.Server,
    door: Door,
    tasks: asyncio.TaskGroup,
) -> None:
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    while True:
        try:
            connection, address = await loop.sock_accept(listening)
        except OSError as exc:
            # Out of descriptors, in spite of the reserve: somebody else in this process has them.
            logger.warning("no connection could be accepted: %s", exc.strerror)
            await asyncio.sleep(ACCEPT_PAUSE_S)
            continue
        caller = door.admit(connection, address[0])
        if caller is None:
            connection.close()
        else:
            tasks.create_task(_serve(connection, caller, tls, server, door))


async def _serve(
    connection: socket.socket, caller: Caller, tls: ssl.SSLContext | None, server: web.Server, door: Door
) -> None:
    """Shake hands and hand over to aiohttp."""
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(
            lambda: Visitor(server, caller, door),
            connection,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else ARRIVING_S,
        )
    except (OSError, ssl.SSLError, ValueError):
        # Hung up, or no TLS: whoever it was is not there any more.
        door.leave(caller)
        connection.close()
