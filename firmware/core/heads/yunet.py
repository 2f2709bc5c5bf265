"""YuNet: anchor-free face detector (Wu et al., 2023, "YuNet: A Tiny Millisecond-level Face Detector")."""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds, cell_centres, planar

STRIDES = (8, 16, 32)
MAX_OVERLAP = 0.45


class YuNet:
    """Input (1, 3, h, w): BGR, 0 to 255; per stride `cls`, `obj` (1, n, 1) and `bbox` (1, n, 4)."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return planar(bgr)

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs; the score is the geometric mean of class and objectness."""
        threshold = thresholds[Kind.FACE]
        levels = [self._level(outputs, stride, width, height, threshold) for stride in STRIDES]
        found = Found(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))
        return {Kind.FACE: found.distinct(MAX_OVERLAP)}

    def _level(
        self, outputs: Outputs, stride: int, width: int, height: int, threshold: float
    ) -> tuple[Tensor, Tensor]:
        cls = np.clip(outputs[f"cls_{stride}"].reshape(-1), 0, 1)
        obj = np.clip(outputs[f"obj_{stride}"].reshape(-1), 0, 1)
        scores = np.sqrt(cls * obj)
        kept = np.flatnonzero(scores >= threshold)
        x, y = cell_centres(width, height, stride, 0.0)
        raw = outputs[f"bbox_{stride}"].reshape(-1, 4)[kept]
        size = np.exp(np.minimum(raw[:, 2:], 10)) * stride
        centre = np.stack([x[kept], y[kept]], 1) + raw[:, :2] * stride
        return np.concatenate([centre - size / 2, size], 1).astype(np.float32), scores[kept]
