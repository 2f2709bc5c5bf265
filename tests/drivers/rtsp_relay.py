"""Stands between a camera and an RTSP server (RTP interleaved in TCP, RFC 2326 section 10.12) and spoils it.

Pauses hold everything back and let it go at once, as a stalled connection does; lost packets and jumps of the
camera's clock are made in the RTP packets themselves.
"""

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

RTP_CHANNEL = 0
RTP_HZ = 90_000
HEADER = 12
IN_BURST_S = 0.002
"""What was there already when it was asked for came with what was before it."""
LAST_OF_FRAME = 0x80
"""The marker bit (RFC 6184 section 5.1)."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens `at_s` seconds after the stream began: a pause or a jump of the clock, in seconds."""

    at_s: float
    pause_s: float = 0.0
    jump_s: float = 0.0


@dataclass
class Relay:
    """One spoiled way to a server."""

    target: str
    events: Sequence[Event]
    loss: float = 0.0
    jitter_s: float = 0.0
    lost_every: int = 0
    """Of so many pictures one loses its first packet, whatever `loss` is."""
    garbled: float = 0.0
    """Share of the packets whose content is chance from somewhere on."""
    repeated: float = 0.0
    swapped: float = 0.0
    """Share of the packets that come after the next one."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen on loopback; yields the address to play from."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"rtsp://127.0.0.1:{port}{urlsplit(self.target).path}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = urlsplit(self.target)
        up_reader, up_writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, up_writer))
                tasks.create_task(self._spoil(up_reader, writer))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            up_writer.close()
            writer.close()

    def _is_lost(self, number: int) -> bool:
        return bool(self.lost_every) and number % self.lost_every == self.lost_every - 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _spoil(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chance = random.Random(7)  # noqa: S311 - the same losses every time
        begun: float | None = None
        loop, left, shift = asyncio.get_running_loop(), list(self.events), 0
        held = b""
        number, last = 0, True
        while not writer.is_closing():
            asked = loop.time()
            first = await reader.readexactly(1)
            in_burst = loop.time() - asked < IN_BURST_S
            if first != b"$":
                writer.write(first + await reader.readuntil(b"\n"))
                continue
            channel, size = struct.unpack(">BH", await reader.readexactly(3))
            packet = bytearray(await reader.readexactly(size))
            begun = loop.time() if begun is None else begun
            while left and loop.time() - begun >= left[0].at_s:
                event = left.pop(0)
                shift += round(event.jump_s * RTP_HZ)
                await asyncio.sleep(event.pause_s)
            if channel != RTP_CHANNEL:
                continue  # sender reports would tell of the jump before it is seen
            begins, number = last, number + last
            last = bool(packet[1] & LAST_OF_FRAME)
            if chance.random() < self.loss or (self._is_lost(number) and begins):
                continue
            if self.jitter_s and packet[1] & LAST_OF_FRAME and not in_burst:
                await asyncio.sleep(chance.random() * self.jitter_s)
            (stamp,) = struct.unpack_from(">I", packet, 4)
            struct.pack_into(">I", packet, 4, (stamp + shift) % 2**32)
            if chance.random() < self.garbled:
                at = chance.randrange(HEADER, size)
                packet[at:] = chance.randbytes(size - at)
            framed = struct.pack(">BBH", 0x24, channel, size) + packet
            if chance.random() < self.swapped and not held:
                held = framed
                continue
            writer.write(framed + held + (framed if chance.random() < self.repeated else b""))
            held = b""
