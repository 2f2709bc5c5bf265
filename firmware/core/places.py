"""Zones and lines in a picture, in shares of its width and height, and where points lie to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Point: TypeAlias = tuple[float, float]
"""Right and down from the top left corner, in shares of the picture (0 to 1)."""
Points: TypeAlias = npt.NDArray[np.float64]
"""(n, 2): points as above."""

GRID = 100
"""Areas are measured by that many points a side: to about a thousandth of the picture."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the picture with a name: a polygon whose last corner is joined to its first."""

    name: str
    corners: tuple[Point, ...]

    def holds(self, points: Points) -> npt.NDArray[np.bool_]:
        """Return (n,) which points lie inside (even-odd rule)."""
        x, y = points[:, 0], points[:, 1]
        inside = np.zeros(len(points), np.bool_)
        for (x0, y0), (x1, y1) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if y0 != y1:
                spans = (y0 > y) != (y1 > y)
                inside ^= spans & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return inside

    @property
    def area(self) -> float:
        """Share of the picture inside (shoelace formula); of sides that cross, what one turn adds and the
        other takes.
        """
        x, y = np.array(self.corners).T
        return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


@dataclass(frozen=True, slots=True)
class Line:
    """A line with a name; left and right are those of who stands at its beginning and looks to its end."""

    name: str
    begin: Point
    end: Point

    def right_of(self, points: Points) -> npt.NDArray[np.float64]:
        """Return (n,) how far points lie to the right of the endless line, negative to the left."""
        (x0, y0), (x1, y1) = self.begin, self.end
        dx, dy = x1 - x0, y1 - y0
        length = float(np.hypot(dx, dy))
        return np.asarray((dx * (points[:, 1] - y0) - dy * (points[:, 0] - x0)) / length)

    def is_met(self, one: Point, other: Point) -> bool:
        """Tell whether the straight way from one side to the other leads through the line itself."""
        first, second = self.right_of(np.array((one, other)))
        share = first / (first - second)
        x, y = (a + share * (b - a) for a, b in zip(one, other, strict=True))
        (x0, y0), (x1, y1) = self.begin, self.end
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        return bool(0 <= along <= 1)


def shared(zones: Sequence[Zone]) -> tuple[Zone, Zone] | None:
    """Return two zones that have a part of the picture in common, as far as the grid shows it."""
    held = [zone.holds(_grid()) for zone in zones]
    for at, one in enumerate(held):
        for before in range(at):
            if np.count_nonzero(one & held[before]) > GRID // 10:
                return zones[before], zones[at]
    return None


def is_plain(zone: Zone) -> bool:
    """Tell whether no side crosses another: then both ways to measure the area agree."""
    return abs(float(zone.holds(_grid()).mean()) - zone.area) < 2 / GRID


def _grid() -> Points:
    middles = (np.arange(GRID) + 0.5) / GRID
    return np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
