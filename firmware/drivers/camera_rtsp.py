"""A network camera over RTSP, by PyAV; its address may hold a password and is never shown whole.

A connection may stall and then burst: when a frame was, the camera's own clock tells (RTP); where that
contradicts the arrival, nobody knows.
"""

import asyncio
import errno
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from firmware.config.drivers import RtspOptions
from firmware.core.address import shown, with_escaped_password
from firmware.core.careful import CarefulDecoder, copies
from firmware.core.damage import Damage, DamagedError
from firmware.core.display import squared
from firmware.core.frames import Planes
from firmware.core.moment import SourceClock
from firmware.core.planar import in_size, planes_of, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo

DEFAULT_FPS, FASTEST_FPS = 25.0, 60.0
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
        if options.transport == "udp" and stream.codec_context.name == "hevc":
            self._container.close()
            # libav makes up what is missing inside an H.265 picture and says nothing.
            raise SourceCorrupt(
                f"{self._name}: sends H.265, of which parts lost over UDP are not noticed: "
                'set transport = "tcp" under [camera] of the board file, or the camera to H.264'
            )
        self._reading, self._closed = threading.Lock(), False
        self._packets = self._container.demux(stream)
        self._decoder = CarefulDecoder(copies(stream.codec_context))
        self._decoded: deque[av.VideoFrame] = deque()
        self._seq, self._clock = 0, SourceClock()
        self._damage = Damage(self._name, time.monotonic_ns())
        self._last: Planes | None = None
        self._wait_for_first()
        self._coded = self._decoded[0].width // 2 * 2, self._decoded[0].height // 2 * 2
        shown_size = squared(*self._coded, stream.sample_aspect_ratio or Fraction(1))
        fps = min(float(stream.average_rate or DEFAULT_FPS), FASTEST_FPS)
        self.info = CameraInfo(*shown_size, fps, self._name, options.timeout_s)

    def _wait_for_first(self) -> None:
        while not self._decoded:
            packet = self._packet()
            if packet is None:
                raise SourceCorrupt(f"{self._name}: connected, but no picture came; check the camera")
            self._take(packet)

    def capture(self) -> RawFrame:
        """Wait for the next frame.

        What is damaged is left out, with all that may depend on it; where that lasts, frames come that are
        hidden whole.

        Raises:
            CameraLost: the connection ends, the picture changes size, or no good one comes for long.
        """
        while not self._decoded:
            packet = self._packet()
            if packet is None:
                raise CameraLost(f"{self._name}: the camera ended the connection; check it, then restart")
            if (blind := self._take(packet)) is not None:
                return blind
        return self._frame(self._decoded.popleft())

    def _frame(self, frame: av.VideoFrame) -> RawFrame:
        if (frame.width // 2 * 2, frame.height // 2 * 2) != self._coded:
            raise CameraLost(f"{self._name}: the picture changed its size; restart to take the new one")
        now = time.monotonic_ns()
        self._last = in_size(planes_of(frame, *self._coded), self.info.width, self.info.height)
        return self._stamped(self._last, stamp_of(frame), now, self._damage.good(now))

    def _take(self, packet: "av.Packet[VideoStream]") -> RawFrame | None:
        """Decode a packet; returns a frame to be hidden whole where none has been good for long."""
        try:
            self._decoded.extend(self._decoder.decode(packet))
        except DamagedError as exc:
            now = time.monotonic_ns()
            skipped = self._damage.bad(now, str(exc))
            if skipped is not None and self._last is not None:
                return replace(self._stamped(self._last, None, now, skipped), damaged=True)
        return None

    def _stamped(self, planes: Planes, stamp_ns: int | None, now_ns: int, skipped: int) -> RawFrame:
        seq, self._seq = self._seq, self._seq + 1
        at = self._clock.moment(seq, stamp_ns, now_ns)
        return RawFrame(planes, at.captured_ns, seq, arrived_ns=now_ns, timeline=at.timeline, skipped=skipped)

    def close(self) -> None:
        """End the connection, unless a read hangs in it: what a thread still reads must not be freed."""
        if self._reading.acquire(timeout=CLOSE_S):
            self._closed = True
            self._container.close()
            self._reading.release()

    def _packet(self) -> "av.Packet[VideoStream] | None":
        """Return the next packet; None at the end of the connection."""
        with self._reading:
            if self._closed:
                return None
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError) as exc:
                raise CameraLost(
                    f"{self._name}: the connection broke: {exc.strerror}; check it, then restart"
                ) from None
        # An empty packet asks a decoder for what it keeps, at the end of all.
        return packet if packet is not None and packet.size else None


def _connect(options: RtspOptions, name: str) -> InputContainer:
    wait = str(round(options.timeout_s * 1_000_000))
    try:
        return av.open(
            with_escaped_password(options.url),
            "r",
            options={
                "rtsp_transport": options.transport,
                "timeout": wait,
                # No frames are spent on finding a rate: a camera may send one in ten seconds.
                "fpsprobesize": "0",
                "flags": "low_delay",
            },
            timeout=options.timeout_s,
            metadata_errors="ignore",
        )
    # Nothing of the cause is kept: libav says the whole address in it, and so the password.
    except av.HTTPUnauthorizedError:
        raise SourceNotFound(f"{name}: the camera refused the user or password of the address") from None
    except av.HTTPNotFoundError:
        raise SourceNotFound(f"{name}: the camera has nothing at the path of the address; check it") from None
    except (av.FFmpegError, OSError) as exc:
        raise SourceNotFound(f"{name}: cannot connect: {exc.strerror}; {_advice(exc, options)}") from None


def _advice(exc: Exception, options: RtspOptions) -> str:
    if isinstance(exc, OSError) and exc.errno == errno.EPROTONOSUPPORT and options.transport == "tcp":
        return 'the camera speaks UDP alone: set transport = "udp" under [camera] of the board file'
    return "check address and network (in a password / is written %2F, and ? is %3F)"


@asynccontextmanager
async def open_camera(options: RtspOptions) -> AsyncIterator[RtspCamera]:
    """Connect; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(RtspCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
