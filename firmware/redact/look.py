"""Looks at one picture several times: whole and in tiles, scaled and mirrored.

What a look is sure of counts, and so does what it is unsure of but another look sees too; a face also where
a network that knows no faces sees a person or a head. Looks of one network agree on its own mistakes, so what
counts as sure is high.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from firmware.core.frames import Detection, Kind, Plane
from firmware.core.geometry import Box, covered
from firmware.core.heads.network import on
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.core.suppress import clusters
from firmware.ports import Detector

SAME = 0.5
"""Boxes of two looks that overlap by more are the same face or person."""

ON_SOMEBODY = 0.5
"""The least share of a face that lies on a person or a head."""


@dataclass(frozen=True, slots=True)
class View:
    """One look: a part of the picture, scaled, perhaps mirrored left to right.

    What is higher than `highest` pixels of the look is left to smaller ones: in an enlarged picture a network
    takes anything large for a face.
    """

    part: Box
    scale: float = 1.0
    mirrored: bool = False
    highest: float = math.inf

    def cut(self, bgr: Plane) -> Plane:
        """Return what this look sees of a BGR picture (h, w, 3)."""
        x, y, w, h = (round(v) for v in (self.part.x, self.part.y, self.part.w, self.part.h))
        seen = bgr[y : y + h, x : x + w]
        if self.scale != 1.0:
            size = (max(1, round(w * self.scale)), max(1, round(h * self.scale)))
            how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
            seen = np.asarray(cv2.resize(seen, size, interpolation=how), np.uint8)
        return np.ascontiguousarray(seen[:, ::-1] if self.mirrored else seen)

    def back(self, box: Box) -> Box:
        """Return a box of this look in pixels of the whole picture."""
        there = box.scaled(1 / self.scale, 1 / self.scale)
        x = self.part.w - there.right if self.mirrored else there.x
        return Box(self.part.x + x, self.part.y + there.y, there.w, there.h)


Views = Callable[[int, int], Sequence[View]]
"""From a picture's width and height to the looks to take."""


@dataclass(frozen=True, slots=True)
class Eye:
    """A detector, the looks it takes at each picture, and the score of each kind from which one is enough.

    A dozen looks would otherwise add up their false alarms. `sure_headless` is the score for people on whom
    the detector sees no head.
    """

    detector: Detector
    views: Views
    sure: Mapping[Kind, float]
    sure_headless: float = 0.0

    def see(self, bgr: Plane, frame: RawFrame) -> Iterator["Seen"]:
        """Take every look and tell what was found, in pixels of the whole picture."""
        for view in self.views(bgr.shape[1], bgr.shape[0]):
            picture = DetectorPicture(view.cut(bgr), frame.moment, view.part)
            every = self.detector.detect(picture)
            heads = [one.box for one in every if one.kind is Kind.HEAD]
            for found in every:
                if found.box.h <= view.highest:
                    there = Detection(found.kind, view.back(found.box), found.score)
                    yield Seen(there, sure=found.score >= self._enough(found, heads))

    def _enough(self, found: Detection, heads: Sequence[Box]) -> float:
        headless = found.kind is Kind.PERSON and not any(on(head, found.box) for head in heads)
        return max(self.sure[found.kind], self.sure_headless) if headless else self.sure[found.kind]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found, and whether that is enough."""

    found: Detection
    sure: bool


def look(frame: RawFrame, eyes: Sequence[Eye]) -> list[Detection]:
    """Return what the eyes see in the frame; each face and person once.

    The colour conversion is at full size (BT.601, limited range): clips and pictures are not a live camera.
    """
    bgr = np.asarray(cv2.cvtColor(frame.planes.i420(), cv2.COLOR_YUV2BGR_I420), np.uint8)
    return merged([found for eye in eyes for found in eye.see(bgr, frame)])


def merged(seen: Sequence[Seen]) -> list[Detection]:
    """Join what is the same thing: a person's best box, for a face or head what all boxes of it cover.

    What one look alone saw is left out if it was not sure, unless it is a face on somebody whom others saw.
    """
    out = []
    bodies = [one.found.box for one in seen if one.found.kind is not Kind.FACE]
    for kind in Kind:
        same = [one for one in seen if one.found.kind is kind]
        found = [one.found for one in same]
        for group in clusters(_boxes(found), np.array([d.score for d in found], np.float32), SAME):
            best = found[group[0]]
            on_somebody = kind is Kind.FACE and any(covered(best.box, body) > ON_SOMEBODY for body in bodies)
            if len(group) == 1 and not same[group[0]].sure and not on_somebody:
                continue
            others = [] if kind is Kind.PERSON else [found[index].box for index in group[1:]]
            out.append(Detection(kind, reduce(Box.union, others, best.box), best.score))
    return out


def _boxes(detections: Sequence[Detection]) -> "np.typing.NDArray[np.float32]":
    return np.array([(d.box.x, d.box.y, d.box.w, d.box.h) for d in detections], np.float32).reshape(-1, 4)
