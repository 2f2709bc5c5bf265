"""From the pixel layouts that cameras and decoders give to planar YUV 4:2:0, limited range."""

import av
import cv2
import numpy as np

from firmware.core.display import on_ground, turn_of
from firmware.core.frames import Plane, Planes

FULL_RANGE = 2
"""Code of libavutil for luma from 0 to 255."""


def stamp_of(frame: av.VideoFrame) -> int | None:
    """Return a decoded frame's own time stamp in nanoseconds; None where it has none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return round(frame.pts * frame.time_base * 10**9)


def planes_of(frame: av.VideoFrame, width: int, height: int) -> Planes:
    """Return a decoded frame as planes of even `width` x `height`, without copying where it fits already."""
    frame = on_ground(frame)
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p", dst_color_range="MPEG")
    elif frame.color_range == FULL_RANGE:
        frame = frame.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG")
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


def even_planes(frame: av.VideoFrame) -> Planes:
    """Return a decoded frame as it is to be shown: turned, limited range, even width and height."""
    width, height = frame.width + frame.width % 2, frame.height + frame.height % 2
    planes = planes_of(frame, width, height)
    planes = Planes(_padded(planes.y, width, height), planes.u, planes.v)
    turn = turn_of(frame)
    return Planes(turn(planes.y), turn(planes.u), turn(planes.v))


def _padded(luma: Plane, width: int, height: int) -> Plane:
    if luma.shape == (height, width):
        return luma
    return np.pad(luma, ((0, height - luma.shape[0]), (0, width - luma.shape[1])), mode="edge")


def in_size(planes: Planes, width: int, height: int) -> Planes:
    """Return planes scaled to an even width and height; as they are where they have it."""
    if (planes.width, planes.height) == (width, height):
        return planes
    half = width // 2, height // 2
    return Planes(_scaled(planes.y, width, height), _scaled(planes.u, *half), _scaled(planes.v, *half))


def _scaled(plane: Plane, width: int, height: int) -> Plane:
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
