"""Whether the camera was covered, moved or defocused, told from running sums alone; no picture is kept.

What goes in is one luma plane at a time, about once a second; what stays is how sharp it was over the last
minutes, and how much edge there was in each of 48 columns and 27 rows of it, over minutes and over the last
few looks. Both are compared with each other: who walks through is in all columns for a moment and in none for
long. Whatever is seen has to last before it is told, and to end for as long.

A dark room looks like a covered lens: it is told as covered, too. What has changed for good, such as a camera
that was put up elsewhere, becomes the new normal after a while.
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from firmware.core.frames import Plane

Floats = npt.NDArray[np.float64]

SIDE = (320, 180)
"""Width and height in pixels at which a picture is measured."""
COLUMNS, ROWS = 48, 27

LEAST_EDGE = 8.0
"""Sobel response below which noise looks like an edge; half the deviation of luma where that is more."""

FLAT = 5.0
DARK, DARK_FLAT = 40.0, 12.0
"""Standard deviations and a mean of luma (0 to 255): what is flatter is covered, or what is dark and flat."""
SOFT = 0.3
"""Share of its long-term sharpness below which a picture is out of focus."""
UNLIKE = 0.65
"""Correlation of short-term and long-term edges below which the camera looks elsewhere."""

LEARN = 30
"""Looks before anything is compared."""
MEMORY = 1 / 120
"""Weight of one look in the long-term sums: two minutes at one a second."""
RECENT = 1 / 8
"""Weight of one look in the short-term sums of edges."""
LASTS = 5
"""Looks in a row that have to agree."""
ACCEPTED = 600
"""Looks after which what has changed is the new normal."""


class Tampering(StrEnum):
    """What was done to the camera."""

    NONE = "none"
    COVERED = "covered"
    MOVED = "moved"
    DEFOCUSED = "defocused"


@dataclass(frozen=True, slots=True)
class Measured:
    """One look as numbers: luma's mean and deviation, sharpness (variance of the Laplacian), edges (75,)."""

    mean: float
    deviation: float
    sharpness: float
    edges: Floats


def measured(luma: Plane) -> Measured:
    """Measure a luma plane (h, w) of any size."""
    small = cv2.resize(luma, SIDE, interpolation=cv2.INTER_AREA)
    mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(small))
    sharpness = float(cv2.Laplacian(small, cv2.CV_32F).var())
    # Counted, not added up: else a few strong edges would stand for all.
    least = max(LEAST_EDGE, deviation / 2)
    across = (np.abs(cv2.Sobel(small, cv2.CV_32F, 1, 0)) > least).sum(axis=0)
    down = (np.abs(cv2.Sobel(small, cv2.CV_32F, 0, 1)) > least).sum(axis=1)
    edges = np.concatenate([_profile(across, COLUMNS), _profile(down, ROWS)])
    return Measured(mean, deviation, sharpness, edges)


def _profile(sums: npt.NDArray[np.int_], parts: int) -> Floats:
    """Return (parts,) with mean 0 and length 1, whatever the light; all 0 where there are no edges."""
    parted = np.array([part.sum() for part in np.array_split(sums, parts)], np.float64)
    parted -= parted.mean()
    length = float(np.linalg.norm(parted))
    return parted / length if length > 0 else parted


class Watch:
    """Looks at one camera's measures; `told` is what holds now."""

    def __init__(self) -> None:
        self.told = Tampering.NONE
        self._begin()

    def _begin(self) -> None:
        self._learnt = 0
        self._sharpness = 0.0
        self._edges = np.zeros(COLUMNS + ROWS)
        self._recent = np.zeros(COLUMNS + ROWS)
        self._suspected, self._for = self.told, 0
        self._changed_for = 0

    def look(self, one: Measured) -> Tampering:
        """Take in one look and return what holds."""
        found = self._found(one)
        self._for = self._for + 1 if found is self._suspected else 1
        self._suspected = found
        if self._for >= LASTS:
            self.told = found
        if found is Tampering.NONE:
            self._changed_for = 0
            self._learn(one)
        elif found is not Tampering.COVERED:
            self._changed_for += 1
            if self._changed_for >= ACCEPTED:
                self._begin()
        return self.told

    def _found(self, one: Measured) -> Tampering:
        if one.deviation < FLAT or (one.mean < DARK and one.deviation < DARK_FLAT):
            return Tampering.COVERED
        if self._learnt < LEARN:
            return Tampering.NONE
        # Before the edges: of a blurred picture they tell little.
        if one.sharpness < SOFT * self._sharpness:
            return Tampering.DEFOCUSED
        self._recent = self._recent + RECENT * (one.edges - self._recent)
        return Tampering.MOVED if self._likeness() < UNLIKE else Tampering.NONE

    def _likeness(self) -> float:
        """Return the lesser correlation, of columns or of rows, at no shift at all."""
        parts = (slice(None, COLUMNS), slice(COLUMNS, None))
        return min(_correlation(self._recent[part], self._edges[part]) for part in parts)

    def _learn(self, one: Measured) -> None:
        self._learnt += 1
        if self._learnt <= LEARN:
            self._recent = self._recent + max(RECENT, 1 / self._learnt) * (one.edges - self._recent)
        weight = max(MEMORY, 1 / self._learnt)
        self._sharpness += weight * (one.sharpness - self._sharpness)
        self._edges = self._edges + weight * (one.edges - self._edges)


def _correlation(one: Floats, other: Floats) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    # Where there never were edges none can be missed.
    return float(one @ other) / lengths if lengths > 0 else 1.0
