"""What every head has in common: pictures in, boxes with scores out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from firmware.core.frames import Kind, Plane
from firmware.core.suppress import suppress

Tensor: TypeAlias = npt.NDArray[np.float32]
Outputs: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Boxes (n, 4) as x, y, w, h in pixels of the network's input, and their scores (n,), 0 to 1."""

    boxes: Tensor
    scores: Tensor

    def distinct(self, max_overlap: float) -> "Found":
        """Return the boxes that no better one overlaps by more than `max_overlap`."""
        kept = suppress(self.boxes, self.scores, max_overlap)
        return Found(self.boxes[kept], self.scores[kept])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a kind counts: least score, that of a headless person, the thing's share of its box."""

    least: float
    headless: float = 0.0
    drawn: float = 1.0


Thresholds: TypeAlias = Mapping[Kind, float]
"""What is looked for, and the minimum score of each kind, 0 to 1."""


class Head(Protocol):
    """Prepares one network's input and reads its outputs."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) of the input's size into the network's input."""
        ...

    def decode(
        self, outputs: Outputs, width: int, height: int, thresholds: Thresholds
    ) -> Mapping[Kind, Found]:
        """Read outputs of an input of `width` x `height`; boxes below their kind's threshold are left out."""
        ...


def planar(picture: npt.NDArray[np.float32] | Plane) -> Tensor:
    """Return (h, w, c) as the (1, c, h, w) float32 that most networks take."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def cell_centres(width: int, height: int, stride: int, offset: float) -> tuple[Tensor, Tensor]:
    """Return x and y, (n,) each, of the cells of one stride, row by row, in pixels."""
    rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), width // stride)
    x = ((columns + offset) * stride).astype(np.float32)
    return x, ((rows + offset) * stride).astype(np.float32)
