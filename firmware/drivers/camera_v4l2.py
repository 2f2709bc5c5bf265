"""A USB or CSI camera of the kernel, by linuxpy: I420, NV12, YUYV or Motion JPEG, in this order of liking."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from linuxpy.video.device import Device, PixelFormat, VideoCapture

from firmware.config.drivers import V4l2Options
from firmware.core.damage import Damage, DamagedError
from firmware.core.frames import Plane, Planes
from firmware.core.moment import SourceClock
from firmware.core.planar import planes_of, planes_of_nv12, planes_of_yuyv
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import PATIENCE_S, CameraInfo

Unpack = Callable[[Plane, int, int], Planes]


class MotionJpeg:
    """Decodes Motion JPEG pictures."""

    def __init__(self) -> None:
        context = av.CodecContext.create("mjpeg", "r")
        if not isinstance(context, VideoCodecContext):
            raise SourceCorrupt("this PyAV cannot decode Motion JPEG; install PyAV from its wheel")
        # Without it a picture of which half came is one whose lower half is grey: nobody is found in grey.
        context.options = {"err_detect": "explode"}
        self._context = context

    def __call__(self, data: Plane, width: int, height: int) -> Planes:
        """Return one picture as planes; raises DamagedError where it is short, garbled or of another size."""
        if not data.size:  # which would end the decoder
            raise DamagedError("an empty picture")
        try:
            frames = self._context.decode(av.Packet(data.tobytes()))
        except av.FFmpegError as exc:
            raise DamagedError(f"a picture that cannot be decoded: {exc.strerror}") from exc
        if not frames or frames[0].is_corrupt:
            raise DamagedError("a picture that is not whole")
        if (frames[0].width, frames[0].height) != (width, height):
            raise DamagedError("a picture of another size")
        return planes_of(frames[0], width, height)


def _i420(data: Plane, width: int, height: int) -> Planes:
    return Planes.of(data[: width * height * 3 // 2].reshape(height * 3 // 2, width))


@dataclass(frozen=True, slots=True)
class Layout:
    """How pictures of one format lie in memory, where it has rows at all: bytes of a pixel row's first plane
    and of all planes, per pixel."""

    unpack: Callable[[], Unpack]
    row: int = 0
    whole: Fraction = Fraction(0)

    def takes(self, width: int, height: int, bytes_per_line: int) -> bool:
        """Tell whether a device's rows are what they seem; padded or odd ones would be taken for pixels."""
        if not self.row:
            return True
        return bytes_per_line == self.row * width and width % 2 == 0 and height % 2 == 0

    def picture_bytes(self, width: int, height: int) -> int | None:
        """Return the bytes of one picture; None where they vary."""
        return int(self.whole * width * height) if self.row else None


LAYOUTS: dict[PixelFormat, Layout] = {
    PixelFormat.YUV420: Layout(lambda: _i420, 1, Fraction(3, 2)),
    PixelFormat.NV12: Layout(lambda: planes_of_nv12, 1, Fraction(3, 2)),
    PixelFormat.YUYV: Layout(lambda: planes_of_yuyv, 2, Fraction(2)),
    PixelFormat.MJPEG: Layout(MotionJpeg),
}
"""In the order of liking."""


class V4l2Camera:
    """Reads one video device through its memory-mapped buffers."""

    def __init__(self, options: V4l2Options) -> None:
        self._open = ExitStack()
        self._name = options.device
        try:
            device = self._open.enter_context(Device(options.device, blocking=True))
            stream = VideoCapture(device, size=4)
            self._unpack = _choose_format(stream, options)
            chosen = stream.get_format()
            self._bytes = LAYOUTS[chosen.pixel_format].picture_bytes(chosen.width, chosen.height)
            stream.set_fps(options.fps)
            size = chosen.width // 2 * 2, chosen.height // 2 * 2
            self.info = CameraInfo(*size, options.fps, options.device, max(PATIENCE_S, 2.5 / options.fps))
            self._frames = iter(self._open.enter_context(stream))
        except OSError as exc:
            self._open.close()
            raise SourceNotFound(
                f"{options.device}: {exc.strerror or exc}; plug the camera in, or see: ls /dev/video*"
            ) from exc
        self._seq = 0
        self._clock = SourceClock()
        self._damage = Damage(self._name, time.monotonic_ns())
        self._last: Planes | None = None

    def capture(self) -> RawFrame:
        """Wait for the next good frame; where none comes for a while, frames come that are hidden whole.

        Raises:
            CameraLost: the device is gone, or sends nothing good for long.
        """
        while True:
            data, stamp_ns = self._read()
            now, damaged = time.monotonic_ns(), False
            try:
                planes = self._planes(data)
                skipped = self._damage.good(now)
            except DamagedError as exc:
                due = self._damage.bad(now, str(exc))
                if due is None or self._last is None:
                    continue
                # The last good pixels stand in: a damaged frame is hidden whole, whatever it shows.
                planes, skipped, damaged = self._last, due, True
            seq, self._seq, self._last = self._seq, self._seq + 1, planes
            at = self._clock.moment(seq, None if damaged else stamp_ns, now)
            return RawFrame(
                planes,
                at.captured_ns,
                seq,
                arrived_ns=now,
                timeline=at.timeline,
                skipped=skipped,
                damaged=damaged,
            )

    def _read(self) -> tuple[Plane, int]:
        """Return a copy of the next buffer, and its time."""
        try:
            frame = next(self._frames)
        except (OSError, StopIteration) as exc:
            raise CameraLost(f"{self._name}: the camera is gone; plug it in, then restart") from exc
        # linuxpy hands out the driver's buffer, which is queued again with the next frame: take a copy.
        return np.frombuffer(frame.data, np.uint8).copy(), round(frame.timestamp * 1e9)

    def _planes(self, data: Plane) -> Planes:
        if self._bytes not in (None, data.size):
            # Rows padded otherwise than the device reports would be a sheared picture with nobody in it.
            raise DamagedError(f"a picture of {data.size} bytes instead of {self._bytes}")
        return self._unpack(data, self.info.width, self.info.height)

    def close(self) -> None:
        """Stop the stream and close the device."""
        self._open.close()


def _choose_format(stream: VideoCapture, options: V4l2Options) -> Unpack:
    """Set the best pixel format the device accepts; raises SourceCorrupt where it has none of ours."""
    for pixel_format, layout in LAYOUTS.items():
        stream.set_format(options.width, options.height, pixel_format)
        chosen = stream.get_format()
        if chosen.pixel_format == pixel_format and layout.takes(
            chosen.width, chosen.height, chosen.bytes_per_line
        ):
            return layout.unpack()
    wanted = ", ".join(pixel_format.name for pixel_format in LAYOUTS)
    raise SourceCorrupt(f"{options.device}: gives none of the formats {wanted}; use another camera")


@asynccontextmanager
async def open_camera(options: V4l2Options) -> AsyncIterator[V4l2Camera]:
    """Open a video device; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(V4l2Camera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
