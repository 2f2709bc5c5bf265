"""A USB or CSI camera of the kernel, by linuxpy: I420, NV12, YUYV or Motion JPEG, in this order of liking."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Container
from contextlib import ExitStack, asynccontextmanager

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from linuxpy.video.device import Device, PixelFormat, VideoCapture

from firmware.config.drivers import V4l2Options
from firmware.core.frames import Plane, Planes
from firmware.core.planar import planes_of, planes_of_nv12, planes_of_yuyv
from firmware.core.raw import RawFrame
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.ports import CameraInfo

Unpack = Callable[[Plane, int, int], Planes]


class MotionJpeg:
    """Decodes Motion JPEG pictures."""

    def __init__(self) -> None:
        context = av.CodecContext.create("mjpeg", "r")
        if not isinstance(context, VideoCodecContext):
            raise SourceCorrupt("this PyAV cannot decode Motion JPEG; install PyAV from its wheel")
        self._context = context

    def __call__(self, data: Plane, width: int, height: int) -> Planes:
        """Return one picture as planes; raises CameraLost where it is damaged or of another size."""
        try:
            frames = self._context.decode(av.Packet(data.tobytes()))
        except av.FFmpegError as exc:
            raise CameraLost(f"camera sent a damaged picture: {exc.strerror}; check its cable") from exc
        if not frames or (frames[0].width, frames[0].height) != (width, height):
            raise CameraLost("camera sent a picture of another size; check its cable, then restart")
        return planes_of(frames[0], width, height)


def _i420(data: Plane, width: int, height: int) -> Planes:
    return Planes.of(data[: width * height * 3 // 2].reshape(height * 3 // 2, width))


FORMATS: dict[PixelFormat, Callable[[], Unpack]] = {
    PixelFormat.YUV420: lambda: _i420,
    PixelFormat.NV12: lambda: planes_of_nv12,
    PixelFormat.YUYV: lambda: planes_of_yuyv,
    PixelFormat.MJPEG: MotionJpeg,
}

ROWS: dict[PixelFormat, Callable[[int], Container[int]]] = {
    PixelFormat.YUV420: lambda width: (width,),
    PixelFormat.NV12: lambda width: (width,),
    PixelFormat.YUYV: lambda width: (2 * width,),
    PixelFormat.MJPEG: lambda width: range(2**32),
}
"""Bytes from row to row that are taken, by the width in pixels."""


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
            stream.set_fps(options.fps)
            self.info = CameraInfo(chosen.width // 2 * 2, chosen.height // 2 * 2, options.fps, options.device)
            self._frames = iter(self._open.enter_context(stream))
        except OSError as exc:
            self._open.close()
            raise SourceNotFound(
                f"{options.device}: {exc.strerror or exc}; plug the camera in, or see: ls /dev/video*"
            ) from exc
        self._seq = 0

    def capture(self) -> RawFrame:
        """Wait for the next frame; raises CameraLost when the device is gone or sends half a picture."""
        try:
            frame = next(self._frames)
        except (OSError, StopIteration) as exc:
            raise CameraLost(f"{self._name}: the camera is gone; plug it in, then restart") from exc
        now = time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        # linuxpy hands out the driver's buffer, which is queued again with the next frame: take a copy.
        data = np.frombuffer(frame.data, np.uint8).copy()
        try:
            planes = self._unpack(data, self.info.width, self.info.height)
        except ValueError as exc:
            raise CameraLost(f"{self._name}: sent half a picture; check its cable, then restart") from exc
        return RawFrame(planes, now, seq)

    def close(self) -> None:
        """Stop the stream and close the device."""
        self._open.close()


def _choose_format(stream: VideoCapture, options: V4l2Options) -> Unpack:
    """Set the best pixel format the device accepts; raises SourceCorrupt where it has none of ours."""
    for pixel_format, unpack in FORMATS.items():
        stream.set_format(options.width, options.height, pixel_format)
        chosen = stream.get_format()
        # Padded rows would be taken for pixels: a sheared picture, in which no detector finds anybody.
        if chosen.pixel_format == pixel_format and chosen.bytes_per_line in ROWS[pixel_format](chosen.width):
            return unpack()
    wanted = ", ".join(pixel_format.name for pixel_format in FORMATS)
    raise SourceCorrupt(f"{options.device}: gives none of the formats {wanted}; use another camera")


@asynccontextmanager
async def open_camera(options: V4l2Options) -> AsyncIterator[V4l2Camera]:
    """Open a video device; raises SourceNotFound or SourceCorrupt."""
    camera = await asyncio.to_thread(V4l2Camera, options)
    try:
        yield camera
    finally:
        await asyncio.to_thread(camera.close)
