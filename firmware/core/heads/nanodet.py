"""NanoDet-g, people alone of its 80 COCO classes; distances are expectations over bins.

Source: RangiLyu/nanodet; Li et al., 2020, "Generalized Focal Loss".
"""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds, cell_centres, planar

STRIDES = (8, 16, 32)
PERSON = 0
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)
MAX_OVERLAP = 0.55


class NanoDet:
    """Input (1, 3, h, w): BGR, standardised; per stride `scores` (1, n, 80) and `boxes` (1, n, 4 * bins)."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return planar((bgr - MEAN) / DEVIATION)

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs; scores went through the sigmoid in the network, bins did not through softmax."""
        threshold = thresholds[Kind.PERSON]
        levels = [self._level(outputs, stride, width, height, threshold) for stride in STRIDES]
        found = Found(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))
        return {Kind.PERSON: found.distinct(MAX_OVERLAP)}

    def _level(
        self, outputs: Outputs, stride: int, width: int, height: int, threshold: float
    ) -> tuple[Tensor, Tensor]:
        scores = outputs[f"scores_{stride}"][0, :, PERSON]
        kept = np.flatnonzero(scores >= threshold)
        bins = outputs[f"boxes_{stride}"]
        sides = expectation(bins[0, kept].reshape(len(kept), 4, bins.shape[-1] // 4)) * stride
        x, y = cell_centres(width, height, stride, 0.5)
        left, top = x[kept] - sides[:, 0], y[kept] - sides[:, 1]
        boxes = np.stack([left, top, sides[:, 0] + sides[:, 2], sides[:, 1] + sides[:, 3]], 1)
        return boxes.astype(np.float32), scores[kept]


def expectation(logits: Tensor) -> Tensor:
    """Return the mean bin of softmax over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    bins = np.arange(logits.shape[-1], dtype=np.float32)
    return np.asarray((weights @ bins) / weights.sum(axis=-1), np.float32)
