"""A known face, shown to every detector when it is opened and again every few minutes.

A detector whose file is good and whose answers are dead would call every picture empty, and empty pictures
are shown. The portrait is put at another place each time: an answer that stands still is no answer either.
"""

from collections.abc import Collection
from itertools import count

import cv2
import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.geometry import Box, iou
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture
from firmware.core.scene import PORTRAIT, holds
from firmware.errors import DetectorFailed
from firmware.ports import Detector

WIDTH, HEIGHT = 640, 360
SIDE = 208
"""Size of the picture and side of the portrait in it, in pixels: a face of 45 pixels."""

PLACES = (40, 392, 216, 128, 304)
"""Left edges of the portrait, taken in turn."""

GREY = 128
FOUND = 0.4
"""Least overlap of what is found with what is there."""


class KnownFace:
    """The portrait, and whether a detector finds what is in it; `portrait` is BGR (512, 512, 3)."""

    def __init__(self, portrait: Plane) -> None:
        size = (SIDE, SIDE)
        self._portrait = np.asarray(cv2.resize(portrait, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._shown = count()

    def require(self, detector: Detector, finds: Collection[Kind]) -> None:
        """Show it to a detector; runs in the detector's thread.

        Raises:
            DetectorFailed: it does not find every kind of thing that it can find.
        """
        x = PLACES[next(self._shown) % len(PLACES)]
        bgr = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
        bgr[HEIGHT - SIDE :, x : x + SIDE] = self._portrait
        picture = DetectorPicture(bgr, Moment(0, 0, 0, None), Box(0, 0, WIDTH, HEIGHT))
        found = detector.detect(picture)
        for kind, box in holds():
            there = box.scaled(SIDE / PORTRAIT, SIDE / PORTRAIT).moved(x, HEIGHT - SIDE)
            if kind in finds and not any(one.kind is kind and iou(one.box, there) >= FOUND for one in found):
                raise DetectorFailed(f"{detector.name} does not find the known {kind.value}")
