"""YOLOX, people and their heads: anchor-free boxes (Ge et al., 2021, "Exceeding YOLO Series in 2021")."""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds, cell_centres, planar

STRIDES = (8, 16, 32)
CLASSES = (Kind.PERSON, Kind.HEAD)
"""In the order of the network's classes; one that knows people alone has the first."""
MAX_OVERLAP = 0.55


class YoloX:
    """Input (1, 3, h, w): BGR, 0 to 255; per stride maps `reg` (1, 4, h, w), `obj` (1), `cls` (1 or 2)."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return planar(bgr)

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs, which went through neither sigmoid nor exp; each class on its own."""
        return {kind: _of(kind, outputs, width, height, threshold) for kind, threshold in thresholds.items()}


def _of(kind: Kind, outputs: Outputs, width: int, height: int, threshold: float) -> Found:
    levels = [_level(kind, outputs, stride, width, height, threshold) for stride in STRIDES]
    found = Found(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))
    return found.distinct(MAX_OVERLAP)


def _level(
    kind: Kind, outputs: Outputs, stride: int, width: int, height: int, threshold: float
) -> tuple[Tensor, Tensor]:
    logits = outputs[f"cls_{stride}"][0, CLASSES.index(kind)].reshape(-1)
    scores = _sigmoid(logits) * _sigmoid(outputs[f"obj_{stride}"].reshape(-1))
    kept = np.flatnonzero(scores >= threshold)
    x, y = cell_centres(width, height, stride, 0.0)
    raw = outputs[f"reg_{stride}"].reshape(4, -1).T[kept]
    size = np.exp(np.minimum(raw[:, 2:], 10)) * stride
    centre = np.stack([x[kept], y[kept]], 1) + raw[:, :2] * stride
    return np.concatenate([centre - size / 2, size], 1).astype(np.float32), scores[kept]


def _sigmoid(logits: Tensor) -> Tensor:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
