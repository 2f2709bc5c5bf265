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
from firmware.core.frames import Plane, Planes
from firmware.core.moment import SourceClock
from firmware.core.planar import planes_of, planes_of_nv12, planes_of_yuyv
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import PATIENCE_S, CameraInfo

Unpack = Callable[[Plane, int, int], Planes]
GIVE_UP_S = 4.0
"""A camera that sends nothing but damaged pictures for so long is lost."""


class DamagedError(Exception):
    """A picture that a loose cable or a busy bus left in pieces: the next one may be whole."""


class MotionJpeg:
    """Decodes Motion JPEG pictures."""

    def __init__(self) -> None:
        context = av.CodecContext.create("mjpeg", "r")
        if not isinstance(context, VideoCodecContext):
            raise SourceCorrupt("this PyAV cannot decode Motion JPEG; install PyAV from its wheel")
        self._context = context

    def __call__(self, data: Plane, width: int, height: int) -> Planes:
        """Return one picture as planes; raises DamagedError where it is in pieces or of another size."""
        if not data.size:  # which would end the decoder
            raise DamagedError("empty pictures; check its cable")
        try:
            frames = self._context.decode(av.Packet(data.tobytes()))
        except av.FFmpegError as exc:
            raise DamagedError(f"damaged pictures ({exc.strerror}); check its cable") from exc
        if not frames or (frames[0].width, frames[0].height) != (width, height):
            raise DamagedError("pictures of another size; check its cable, then restart")
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

    def capture(self) -> RawFrame:
        """Wait for the next whole frame; damaged ones are passed over.

        Raises:
            CameraLost: the device is gone, or has sent nothing whole for a while.
        """
        begun = time.monotonic()
        while True:
            try:
                return self._whole()
            except DamagedError as exc:
                if time.monotonic() - begun > GIVE_UP_S:
                    raise CameraLost(f"{self._name}: sends nothing but {exc}") from exc

    def _whole(self) -> RawFrame:
        try:
            frame = next(self._frames)
        except (OSError, StopIteration) as exc:
            raise CameraLost(f"{self._name}: the camera is gone; plug it in, then restart") from exc
        now = time.monotonic_ns()
        # linuxpy hands out the driver's buffer, which is queued again with the next frame: take a copy.
        data = np.frombuffer(frame.data, np.uint8).copy()
        if self._bytes not in (None, data.size):
            # Rows padded otherwise than the device reports would be a sheared picture with nobody in it.
            raise DamagedError(
                f"pictures of {data.size} bytes instead of {self._bytes}; "
                "check its cable and its size in the board file, then restart"
            )
        planes = self._unpack(data, self.info.width, self.info.height)
        seq, self._seq = self._seq, self._seq + 1
        at = self._clock.moment(seq, round(frame.timestamp * 1e9), now)
        return RawFrame(planes, at.captured_ns, seq, arrived_ns=now, timeline=at.timeline)

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
