"""From the pixel layouts that cameras and decoders give to planar YUV 4:2:0, limited range."""

import av
import numpy as np

from firmware.core.frames import Plane, Planes


def planes_of(frame: av.VideoFrame, width: int, height: int) -> Planes:
    """Return a decoded frame as planes of even `width` x `height`, without copying where it fits already."""
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p", dst_color_range="MPEG")
    y, u, v = (_plane(frame, index) for index in range(3))
    return Planes(y[:height, :width], u[: height // 2, : width // 2], v[: height // 2, : width // 2])


def _plane(frame: av.VideoFrame, index: int) -> Plane:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def planes_of_yuyv(data: Plane, width: int, height: int) -> Planes:
    """Return packed YUYV 4:2:2 bytes as planes; chroma of two rows is averaged."""
    packed = data[: width * height * 2].reshape(height, width * 2)
    u, v = packed[:, 1::4], packed[:, 3::4]
    return Planes(packed[:, 0::2], _halved(u), _halved(v))


def planes_of_nv12(data: Plane, width: int, height: int) -> Planes:
    """Return NV12 bytes (luma, then interleaved chroma) as views."""
    luma = data[: width * height].reshape(height, width)
    chroma = data[width * height : width * height * 3 // 2].reshape(height // 2, width)
    return Planes(luma, chroma[:, 0::2], chroma[:, 1::2])


def _halved(chroma: Plane) -> Plane:
    rows = chroma.astype(np.uint16)
    return ((rows[0::2] + rows[1::2] + 1) // 2).astype(np.uint8)
