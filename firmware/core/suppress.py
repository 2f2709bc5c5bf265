"""Keeps one box of those that several cells or passes give for the same thing."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def overlaps(one: Floats, others: Floats) -> Floats:
    """Return intersection over union of a box (4,) with boxes (n, 4), all x, y, w, h."""
    w = np.minimum(one[0] + one[2], others[:, 0] + others[:, 2]) - np.maximum(one[0], others[:, 0])
    h = np.minimum(one[1] + one[3], others[:, 1] + others[:, 3]) - np.maximum(one[1], others[:, 1])
    shared = np.clip(w, 0, None) * np.clip(h, 0, None)
    total = one[2] * one[3] + others[:, 2] * others[:, 3] - shared
    return np.asarray(shared / np.maximum(total, 1e-9), np.float32)


def clusters(boxes: Floats, scores: Floats, max_overlap: float) -> list[npt.NDArray[np.intp]]:
    """Group boxes (n, 4) that overlap a better one by more than `max_overlap`; the best comes first."""
    order = np.argsort(-scores, kind="stable")
    groups = []
    while order.size:
        near = overlaps(boxes[order[0]], boxes[order]) > max_overlap
        near[0] = True  # an empty box does not overlap itself
        groups.append(order[near])
        order = order[~near]
    return groups


def suppress(boxes: Floats, scores: Floats, max_overlap: float) -> npt.NDArray[np.intp]:
    """Return the indices of the boxes (n, 4) that no better one overlaps, best first (greedy NMS)."""
    return np.array([group[0] for group in clusters(boxes, scores, max_overlap)], np.intp)
