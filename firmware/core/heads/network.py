"""One network as a detector uses it: picture to input, outputs to detections in pixels of the picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from firmware.core.frames import Detection, Kind, Plane
from firmware.core.geometry import Box
from firmware.core.heads.blazeface import BlazeFace
from firmware.core.heads.centerface import CenterFace
from firmware.core.heads.found import Found, Head, Outputs, Tensor
from firmware.core.heads.nanodet import NanoDet
from firmware.core.heads.yunet import YuNet
from firmware.errors import DetectorFailed

HEADS: dict[str, Head] = {
    "yunet": YuNet(),
    "centerface": CenterFace(),
    "blazeface": BlazeFace(),
    "nanodet": NanoDet(),
}
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
    """A head, what it finds, the input's width and height (None: each picture's), the minimum score."""

    head: Head
    kind: Kind
    size: tuple[int, int] | None
    threshold: float

    def prepare(self, bgr: Plane) -> Prepared:
        """Fit a BGR picture (h, w, 3) into the input, aspect kept, black at the right and below."""
        height, width = bgr.shape[:2]
        w, h = self.size or (-(-width // GRID) * GRID, -(-height // GRID) * GRID)
        scale = 1.0 if self.size is None else min(w / width, h / height)
        return Prepared(self.head.preprocess(letterbox(bgr, w, h, scale)), w, h, scale, (width, height))

    def detections(self, outputs: Outputs, prepared: Prepared) -> list[Detection]:
        """Read the outputs; boxes are clipped to the picture, empty ones are left out.

        Raises:
            DetectorFailed: an output is not a finite number.
        """
        # NaN is below every threshold: a broken network would see nobody, and the picture be called verified.
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise DetectorFailed("the network's output is not a finite number; restart the camera")
        found = self.head.decode(outputs, prepared.width, prepared.height, self.threshold)
        return [d for d in self._scaled(found, prepared) if d.box.area > 0]

    def _scaled(self, found: Found, prepared: Prepared) -> list[Detection]:
        boxes = np.nan_to_num(found.boxes / prepared.scale)
        return [
            Detection(self.kind, Box(*box).clipped(*prepared.picture), score)
            for box, score in zip(boxes.tolist(), found.scores.tolist(), strict=True)
        ]


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
