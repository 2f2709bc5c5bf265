"""A network camera over RTSP, by PyAV; its address may hold a password and is never shown whole.

A connection may stall and then burst: when a frame was, the camera's own clock tells (RTP); where that
contradicts the arrival, nobody knows. Packets get lost and garbled: what cannot be decoded is passed over,
and what was decoded after it, up to the next picture that stands alone, is of no known time and so hidden.
"""

import asyncio
import errno
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from firmware.config.drivers import RtspOptions
from firmware.core.address import shown, with_escaped_password
from firmware.core.display import squared
from firmware.core.moment import SourceClock
from firmware.core.planar import in_size, planes_of, stamp_of
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo

DEFAULT_FPS, FASTEST_FPS = 25.0, 60.0
CLOSE_S = 1.0
"""How long closing waits for a read under way."""
NO_PICTURE_S, NONE_WHOLE_S = 4.0, 20.0
"""For so long without any picture, or without a whole one, the camera is lost: the next begins anew."""
MOST_BROKEN = 100
"""Reads in a row that may fail where the connection itself goes on."""


class RtspCamera:
    """Decodes a network camera's video as it comes."""

    def __init__(self, options: RtspOptions) -> None:
        self._name = shown(options.url)
        self._container = _connect(options, self._name)
        if not self._container.streams.video:
            raise SourceCorrupt(f"{self._name}: gives no video; check the path of the address")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "SLICE"  # frame threads would add a delay of one frame each
        self._reading = threading.Lock()
        self._damage = Damage(self._name)
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise SourceCorrupt(f"{self._name}: connected, but no picture came; check the camera")
        coded = self._first.width // 2 * 2, self._first.height // 2 * 2
        self._coded, aspect = coded, self._stream.sample_aspect_ratio or Fraction(1)
        fps = min(float(self._stream.average_rate or DEFAULT_FPS), FASTEST_FPS)
        self.info = CameraInfo(*squared(*coded, aspect), fps, self._name, options.timeout_s)
        self._seq = 0
        self._clock = SourceClock()

    def capture(self) -> RawFrame:
        """Wait for the next frame.

        Raises:
            CameraLost: the connection ended, nothing whole came for a while, or the picture changed its size.
        """
        frame, self._first = self._first, None
        if frame is None:
            with self._reading:
                frame = next(self._frames, None)
        if frame is None:
            raise CameraLost(f"{self._name}: the camera ended the connection; check it, then restart")
        if (frame.width // 2 * 2, frame.height // 2 * 2) != self._coded:
            raise CameraLost(f"{self._name}: the picture changed its size; restart to take the new one")
        seq, self._seq = self._seq, self._seq + 1
        planes = in_size(planes_of(frame, *self._coded), self.info.width, self.info.height)
        at = self._clock.moment(seq, stamp_of(frame), time.monotonic_ns())
        timeline = at.timeline if self._damage.whole else None
        return RawFrame(planes, at.captured_ns, seq, arrived_ns=at.arrived_ns, timeline=timeline)

    def close(self) -> None:
        """End the connection, unless a read hangs in it: what a thread still reads must not be freed."""
        if self._reading.acquire(timeout=CLOSE_S):
            self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Decode one picture at a time; `_damage` then says whether it is whole."""
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                self._damage.broken()
                continue
            except (av.FFmpegError, OSError) as exc:
                raise self._broke(exc) from exc
            for frame in frames:
                self._damage.decoded(frame)
                yield frame

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        broken = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    broken = 0
                    yield packet
            except av.InvalidDataError as exc:
                broken += 1
                self._damage.broken()
                if broken > MOST_BROKEN:
                    raise self._broke(exc) from exc
            except (av.FFmpegError, OSError) as exc:
                raise self._broke(exc) from exc
            else:
                return

    def _broke(self, exc: Exception) -> CameraLost:
        why = exc.strerror if isinstance(exc, OSError) else exc
        return CameraLost(f"{self._name}: the connection broke: {why}; check it, then restart")


class Damage:
    """Whether what is decoded is whole: not after a loss, until a picture comes that refers to no other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.whole = True
        self._last = self._last_whole = time.monotonic()

    def broken(self) -> None:
        """Something could not be decoded; raises CameraLost where nothing else came for a while."""
        self.whole = False
        self._give_up(self._last, NO_PICTURE_S, "nothing that can be decoded")

    def decoded(self, frame: av.VideoFrame) -> None:
        """Take note of a picture; raises CameraLost where none was whole for a while."""
        self._last = time.monotonic()
        self.whole = not frame.is_corrupt and (self.whole or bool(frame.key_frame))
        if self.whole:
            self._last_whole = self._last
        self._give_up(self._last_whole, NONE_WHOLE_S, "no whole picture")

    def _give_up(self, since: float, after_s: float, what: str) -> None:
        if time.monotonic() - since > after_s:
            raise CameraLost(f"{self._name}: sends {what} for {after_s:.0f} s; check network and camera")


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
    except av.HTTPUnauthorizedError as exc:
        raise SourceNotFound(f"{name}: the camera refused the user or password of the address") from exc
    except av.HTTPNotFoundError as exc:
        raise SourceNotFound(f"{name}: the camera has nothing at the path of the address; check it") from exc
    except (av.FFmpegError, OSError) as exc:
        raise SourceNotFound(f"{name}: cannot connect: {exc.strerror}; {_advice(exc, options)}") from exc


def _advice(exc: Exception, options: RtspOptions) -> str:
    if isinstance(exc, OSError) and exc.errno == errno.EPROTONOSUPPORT and options.transport == "tcp":
        return 'the camera speaks UDP alone: set transport = "udp" under [camera] of the board file'
    return "check address and network"


@asynccontextmanager
async def open_camera(options: RtspOptions) -> AsyncIterator[RtspCamera]:
    """Connect; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(RtspCamera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
