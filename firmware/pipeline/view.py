"""Cuts the small picture that detectors look at out of a raw frame."""

import threading
from collections.abc import Iterable

import cv2
import numpy as np

from firmware.core.frames import Detection, Planes
from firmware.core.geometry import Box
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.ports import Detector


class Cutter:
    """Cuts one picture per frame for all detectors that look at it, as wide as the neediest wants it.

    Detectors call it from their own threads; whoever comes second waits for the first one's cut.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._width = 0
        self._last: DetectorPicture | None = None

    def cut(self, frame: RawFrame, detector: Detector) -> DetectorPicture:
        """Return the picture of a leased frame that `detector` is to look at."""
        wanted = picture_width((detector,), frame.planes.width, frame.planes.height)
        with self._lock:
            last = self._last
            if last is None or last.moment != frame.moment or self._width < wanted:
                self._width = max(self._width, wanted)
                last = self._last = detector_picture(frame, self._width)
            return last


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
    part = Box(0, 0, frame.planes.width, frame.planes.height)
    return DetectorPicture(np.asarray(bgr, np.uint8), frame.moment, part)


def in_full(found: Iterable[Detection], picture: DetectorPicture) -> list[Detection]:
    """Return detections in pixels of the frame that `picture` was cut from."""
    part = picture.part
    sx, sy = part.w / picture.bgr.shape[1], part.h / picture.bgr.shape[0]
    return [Detection(one.kind, one.box.scaled(sx, sy).moved(part.x, part.y), one.score) for one in found]
