"""One network as a detector uses it: picture to input, outputs to detections in pixels of the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Kind, Plane
from firmware.core.geometry import Box, covered
from firmware.core.heads.blazeface import BlazeFace
from firmware.core.heads.centerface import CenterFace
from firmware.core.heads.found import Found, Head, Outputs, Tensor, Wanted
from firmware.core.heads.nanodet import NanoDet
from firmware.core.heads.ssd import Ssd
from firmware.core.heads.yolox import YoloX
from firmware.core.heads.yunet import YuNet
from firmware.errors import DetectorFailed

HEADS: dict[str, Head] = {
    "yunet": YuNet(),
    "centerface": CenterFace(),
    "blazeface": BlazeFace(),
    "nanodet": NanoDet(),
    "yolox": YoloX(),
    "ssd": Ssd(),
}
LEAST_PERSON = 10
"""Pixels of the input: what is lower and has no head is a speck that looks like nobody in particular."""

GRID = 32
"""Networks that take any size take multiples of this."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A network's input of `width` x `height`, and by how much the picture was scaled to fit it."""

    tensor: Tensor
    width: int
    height: int
    scale: float
    picture: tuple[int, int]
    """Width and height of the picture."""


@dataclass(frozen=True, slots=True)
class Network:
    """A head, what it looks for, and its input (None: each picture's)."""

    head: Head
    wanted: Mapping[Kind, Wanted]
    sight: Sight | None

    def prepare(self, bgr: Plane) -> Prepared:
        """Fit a BGR picture (h, w, 3) into the input, aspect kept, black at the right and below."""
        height, width = bgr.shape[:2]
        if self.sight is None or self._outgrown(width, height):
            w, h, scale = -(-width // GRID) * GRID, -(-height // GRID) * GRID, 1.0
        else:
            # Where there is room a small picture is enlarged: whoever is small in it is found better.
            w, h = self.sight.width, self.sight.height
            scale = min(w / width, h / height)
        return Prepared(self.head.preprocess(letterbox(bgr, w, h, scale)), w, h, scale, (width, height))

    def _outgrown(self, width: int, height: int) -> bool:
        sight = self.sight
        return sight is not None and sight.grows and (width > sight.width or height > sight.height)

    def detections(self, outputs: Outputs, prepared: Prepared) -> list[Detection]:
        """Read the outputs; boxes are clipped to the picture, empty ones are left out.

        Raises:
            DetectorFailed: an output is not a finite number.
        """
        # NaN is below every threshold: a broken network would see nobody, and the picture be called verified.
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise DetectorFailed("the network's output is not a finite number; restart the camera")
        scores = {kind: wanted.least for kind, wanted in self.wanted.items()}
        by_kind = self.head.decode(outputs, prepared.width, prepared.height, scores)
        every = [one for kind, found in by_kind.items() for one in self._scaled(kind, found, prepared)]
        heads = [one.box for one in every if one.kind is Kind.HEAD]
        least = LEAST_PERSON / prepared.scale
        return [one for one in every if one.box.area > 0 and self._believed(one, heads, least)]

    def _believed(self, one: Detection, heads: Sequence[Box], least: float) -> bool:
        """Tell whether a detection counts: what is taken for a person by mistake has no head."""
        if one.kind is not Kind.PERSON:
            return True
        sure = one.score >= self.wanted[one.kind].headless and one.box.h >= least
        return sure or any(on(head, one.box) for head in heads)

    def _scaled(self, kind: Kind, found: Found, prepared: Prepared) -> list[Detection]:
        """Return what was found in pixels of the picture, as large as the things themselves."""
        drawn = self.wanted[kind].drawn
        boxes = np.nan_to_num(found.boxes / prepared.scale)
        return [
            Detection(kind, Box(*box).grown(drawn).clipped(*prepared.picture), score)
            for box, score in zip(boxes.tolist(), found.scores.tolist(), strict=True)
        ]


def on(head: Box, body: Box) -> bool:
    """Tell whether a head may be that of a body: most of it lies in the upper half."""
    return covered(head, Box(body.x, body.y, body.w, body.h / 2)) > 0.5


def letterbox(bgr: Plane, width: int, height: int, scale: float) -> Plane:
    """Return the picture scaled and put in the top left corner of a black one of `width` x `height`."""
    w = min(width, max(1, round(bgr.shape[1] * scale)))
    h = min(height, max(1, round(bgr.shape[0] * scale)))
    if bgr.shape[:2] != (h, w):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        bgr = np.asarray(cv2.resize(bgr, (w, h), interpolation=how), np.uint8)
    if (h, w) == (height, width):
        return bgr
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[:h, :w] = bgr
    return canvas
