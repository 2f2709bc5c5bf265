"""A network camera over RTSP and TCP, by PyAV; its address may hold a password and is never shown whole.

A connection may stall and then burst: when a frame was, the camera's own clock tells (RTP); where that
contradicts the arrival, nobody knows.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import av
from av.container import InputContainer

from firmware.config.drivers import RtspOptions
from firmware.core.address import shown
from firmware.core.moment import SourceClock
from firmware.core.planar import planes_of, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo

DEFAULT_FPS = 25.0
CLOSE_S = 1.0
"""How long closing waits for a read under way."""


class RtspCamera:
    """Decodes a network camera's video as it comes."""

    def __init__(self, options: RtspOptions) -> None:
        self._name = shown(options.url)
        self._container = _connect(options, self._name)
        if not self._container.streams.video:
            raise SourceCorrupt(f"{self._name}: gives no video; check the path of the address")
        stream = self._container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would add a delay of one frame each
        self._reading = threading.Lock()
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise SourceCorrupt(f"{self._name}: connected, but no picture came; check the camera")
        size = self._first.width // 2 * 2, self._first.height // 2 * 2
        self.info = CameraInfo(*size, float(stream.average_rate or DEFAULT_FPS), self._name)
        self._seq = 0
        self._clock = SourceClock()

    def capture(self) -> RawFrame:
        """Wait for the next frame; raises CameraLost when the connection ends or the picture changes size."""
        frame, self._first = self._first, None
        if frame is None:
            with self._reading:
                frame = next(self._frames, None)
        if frame is None:
            raise CameraLost(f"{self._name}: the camera ended the connection; check it, then restart")
        if (frame.width // 2 * 2, frame.height // 2 * 2) != (self.info.width, self.info.height):
            raise CameraLost(f"{self._name}: the picture changed its size; restart to take the new one")
        seq, self._seq = self._seq, self._seq + 1
        planes = planes_of(frame, self.info.width, self.info.height)
        at = self._clock.moment(seq, stamp_of(frame), time.monotonic_ns())
        return RawFrame(planes, at.captured_ns, seq, arrived_ns=at.arrived_ns, timeline=at.timeline)

    def close(self) -> None:
        """End the connection, unless a read hangs in it: what a thread still reads must not be freed."""
        if self._reading.acquire(timeout=CLOSE_S):
            self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(video=0)
        except (av.FFmpegError, OSError) as exc:
            raise CameraLost(
                f"{self._name}: the connection broke: {exc.strerror}; check it, then restart"
            ) from exc


def _connect(options: RtspOptions, name: str) -> InputContainer:
    wait = str(round(options.timeout_s * 1_000_000))
    try:
        return av.open(
            options.url,
            "r",
            options={"rtsp_transport": "tcp", "timeout": wait, "fflags": "nobuffer", "flags": "low_delay"},
            timeout=options.timeout_s,
            metadata_errors="ignore",
        )
    except av.HTTPUnauthorizedError as exc:
        raise SourceNotFound(f"{name}: the camera refused the user or password of the address") from exc
    except (av.FFmpegError, OSError) as exc:
        raise SourceNotFound(f"{name}: cannot connect: {exc.strerror}; check address and network") from exc


@asynccontextmanager
async def open_camera(options: RtspOptions) -> AsyncIterator[RtspCamera]:
    """Connect; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(RtspCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
