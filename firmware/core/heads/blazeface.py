"""BlazeFace, back camera (Bazarevsky et al., 2019); anchors as MediaPipe's SSD options make them."""

import numpy as np

from firmware.core.frames import Kind, Plane
from firmware.core.heads.found import Found, Outputs, Tensor, Thresholds, cell_centres

ANCHORS = ((16, 2), (32, 6))
"""(stride, anchors in each cell); all anchors of a cell have its centre and no size of their own."""

MAX_OVERLAP = 0.3


def anchors(width: int, height: int) -> Tensor:
    """Return the centres (n, 2) of all anchors, in pixels of the input."""
    levels = []
    for stride, repeats in ANCHORS:
        centres = np.stack(cell_centres(width, height, stride, 0.5), 1)
        levels.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(levels)


class BlazeFace:
    """Input (1, h, w, 3): RGB, -1 to 1; `regressors` (1, n, 16) pixels, `classificators` (1, n, 1) logits."""

    def preprocess(self, bgr: Plane) -> Tensor:
        """Turn a BGR picture (h, w, 3) into the network's input."""
        return np.ascontiguousarray(bgr[None, :, :, ::-1] / np.float32(127.5) - 1, np.float32)

    def decode(self, outputs: Outputs, width: int, height: int, thresholds: Thresholds) -> dict[Kind, Found]:
        """Read the outputs; centre and size are relative to the anchor."""
        threshold = thresholds[Kind.FACE]
        logits = np.clip(outputs["classificators"].reshape(-1), -80, 80)
        scores = np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        kept = np.flatnonzero(scores >= threshold)
        raw = outputs["regressors"].reshape(len(scores), -1)[kept, :4]
        size = np.clip(raw[:, 2:], 0, None)
        corner = anchors(width, height)[kept] + raw[:, :2] - size / 2
        boxes = np.concatenate([corner, size], 1).astype(np.float32)
        return {Kind.FACE: Found(boxes, scores[kept]).distinct(MAX_OVERLAP)}
