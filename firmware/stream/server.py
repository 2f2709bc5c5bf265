"""Listens on one address and serves the pages, WHEP and the status."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from firmware.stream.hub import RedactedHub
from firmware.stream.options import StreamOptions
from firmware.stream.status import StatusSource


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """Where the server can be reached, such as `http://127.0.0.1:8080`."""

    url: str
    host: str
    port: int


@asynccontextmanager
async def serve(
    options: StreamOptions, hub: RedactedHub, status: StatusSource, tasks: asyncio.TaskGroup
) -> AsyncIterator[ServedAddress]:
    """Serve until the block ends; `tasks` runs the reaper of dead sessions.

    Raises:
        ConfigError: an option is not valid, or plain HTTP was asked for beyond loopback.
        PortInUse: the address is taken or cannot be bound.
        DriverUnavailable: the installed aiortc or aioice is not the one this release was made for.
    """
    raise NotImplementedError
    yield ServedAddress("", "", 0)
