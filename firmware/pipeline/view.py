"""Cuts the small pictures that detectors look at out of a raw frame, and puts together what they found."""

import threading
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from firmware.core.cuts import Cut, cuts
from firmware.core.frames import Detection, Kind, Planes
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.core.suppress import suppress
from firmware.ports import Detector

SAME = 0.5
"""Boxes of two parts that overlap by more are the same face, head or body."""


class Cutter:
    """Cuts each part of a frame once for all detectors that look at it.

    Detectors call it from their own threads; whoever comes second waits for the first one's cut.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Moment | None = None
        self._cut: dict[Cut, DetectorPicture] = {}

    def cut(self, frame: RawFrame, detector: Detector) -> list[DetectorPicture]:
        """Return the pictures of a leased frame that `detector` is to look at."""
        with self._lock:
            if self._of != frame.moment:
                self._of = frame.moment
                self._cut.clear()
            return [self._one(frame, cut) for cut in cuts_for(detector, frame)]

    def _one(self, frame: RawFrame, cut: Cut) -> DetectorPicture:
        if cut not in self._cut:
            self._cut[cut] = detector_picture(frame, cut)
        return self._cut[cut]


def cuts_for(detector: Detector, frame: RawFrame) -> list[Cut]:
    """Return what a detector's look at a frame is made of."""
    return cuts(frame.planes.width, frame.planes.height, detector.sight)


def detector_picture(frame: RawFrame, cut: Cut) -> DetectorPicture:
    """Return a part of a frame as a BGR picture, scaled, its sides even.

    Planes are scaled before the colour conversion, so nothing is converted at full resolution. The
    conversion is BT.601 limited range; detectors do not notice the difference to BT.709.
    """
    x, y, w, h = _even(cut.part)
    part = Box(x, y, w, h)
    width, height = (max(2, round(side * cut.scale / 2) * 2) for side in (w, h))
    planes = _part_of(frame, part, width)
    i420 = np.empty((height * 3 // 2, width), np.uint8)
    small = Planes.of(i420)
    cv2.resize(planes.y, (width, height), dst=small.y, interpolation=cv2.INTER_AREA)
    half = (width // 2, height // 2)
    cv2.resize(planes.u, half, dst=small.u, interpolation=cv2.INTER_AREA)
    cv2.resize(planes.v, half, dst=small.v, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)
    return DetectorPicture(np.asarray(bgr, np.uint8), frame.moment, part)


def _part_of(frame: RawFrame, part: Box, width: int) -> Planes:
    """Return the planes of a part: the camera's own small picture where that is fine enough."""
    planes, lores = frame.planes, frame.lores
    if lores is not None and lores.width * part.w >= width * planes.width:
        return _cropped(lores, part.scaled(lores.width / planes.width, lores.height / planes.height))
    return _cropped(planes, part)


def _cropped(planes: Planes, part: Box) -> Planes:
    x, y, w, h = _even(part)
    chroma = (slice(y // 2, (y + h) // 2), slice(x // 2, (x + w) // 2))
    return Planes(planes.y[y : y + h, x : x + w], planes.u[chroma], planes.v[chroma])


def _even(box: Box) -> tuple[int, int, int, int]:
    """Return whole numbers, all even: left, top, width and height (4:2:0 shares chroma)."""
    x, y = int(box.x) // 2 * 2, int(box.y) // 2 * 2
    return x, y, int(box.right - x) // 2 * 2, int(box.bottom - y) // 2 * 2


def look(detector: Detector, pictures: Sequence[DetectorPicture]) -> list[Detection]:
    """Return what a detector finds in the pictures of one frame, in the frame's pixels, each thing once."""
    found = [one for picture in pictures for one in in_full(detector.detect(picture), picture)]
    return found if len(pictures) == 1 else distinct(found)


def distinct(found: Sequence[Detection]) -> list[Detection]:
    """Return detections without those that a better one of their kind overlaps."""
    kept: list[Detection] = []
    for kind in Kind:
        same = [one for one in found if one.kind is kind]
        boxes = np.array([(o.box.x, o.box.y, o.box.w, o.box.h) for o in same], np.float32).reshape(-1, 4)
        best = suppress(boxes, np.array([one.score for one in same], np.float32), SAME)
        kept += [same[index] for index in best]
    return kept


def in_full(found: Iterable[Detection], picture: DetectorPicture) -> list[Detection]:
    """Return detections in pixels of the frame that `picture` was cut from."""
    part = picture.part
    sx, sy = part.w / picture.bgr.shape[1], part.h / picture.bgr.shape[0]
    return [Detection(one.kind, one.box.scaled(sx, sy).moved(part.x, part.y), one.score) for one in found]
