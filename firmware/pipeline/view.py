"""Cuts the small picture that detectors look at out of a raw frame."""

from collections.abc import Iterable

import cv2
import numpy as np

from firmware.core.frames import Detection, Planes
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.ports import Detector


def picture_width(detectors: Iterable[Detector], width: int, height: int) -> int:
    """Return how wide a picture of `width` x `height` is cut: the network that wants most loses nothing."""
    sizes = [detector.input_size for detector in detectors]
    scales = [1.0 if size is None else min(size[0] / width, size[1] / height) for size in sizes]
    return round(width * min(1.0, max(scales, default=1.0)))


def detector_picture(frame: RawFrame, width: int) -> DetectorPicture:
    """Return a BGR picture at most `width` pixels wide, aspect kept.

    Planes are scaled before the colour conversion, so nothing is converted at full resolution. The
    conversion is BT.601 limited range; detectors do not notice the difference to BT.709.
    """
    planes = frame.lores or frame.planes
    width = max(2, min(width, planes.width) // 2 * 2)
    height = max(2, round(planes.height * width / planes.width / 2) * 2)
    i420 = np.empty((height * 3 // 2, width), np.uint8)
    small = Planes.of(i420)
    cv2.resize(planes.y, (width, height), dst=small.y, interpolation=cv2.INTER_AREA)
    half = (width // 2, height // 2)
    cv2.resize(planes.u, half, dst=small.u, interpolation=cv2.INTER_AREA)
    cv2.resize(planes.v, half, dst=small.v, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)
    return DetectorPicture(np.asarray(bgr, np.uint8), frame.captured_ns, frame.seq)


def in_full(found: Iterable[Detection], picture: DetectorPicture, width: int, height: int) -> list[Detection]:
    """Return detections in pixels of the full `width` x `height` picture that `picture` was scaled from."""
    sx, sy = width / picture.bgr.shape[1], height / picture.bgr.shape[0]
    return [Detection(one.kind, one.box.scaled(sx, sy), one.score) for one in found]
