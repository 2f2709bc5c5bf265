"""Which parts of a picture a live look is made of, so that small faces are found in pictures of any size.

A network that was measured on a picture of 1280 x 720 is shown every picture as finely as that one: what does
not fit at once is looked at in parts that overlap, and once as a whole for those who are larger than a part.
"""

import math
from dataclasses import dataclass

from firmware.core.geometry import Box

REFERENCE = (1280, 720)
"""Width and height of the picture that inputs are chosen for."""

ENOUGH = 0.9
"""A picture that is hardly larger is looked at once, a tenth less finely."""

LARGEST = 1280
"""Longer side of any input, in pixels, where a network takes every size: memory stays bounded."""

TILE_OVERLAP = 0.2
"""Share of a tile that its neighbour sees too: whoever is cut by the one is whole in the other."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A network's input for the reference picture, in pixels, and whether it takes other sizes."""

    width: int
    height: int
    grows: bool = False

    @property
    def fine(self) -> float:
        """Pixels of the input per pixel of the reference picture."""
        return min(self.width / REFERENCE[0], self.height / REFERENCE[1])


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a picture, in its pixels, and how much it is scaled for a network."""

    part: Box
    scale: float


def cuts(width: int, height: int, sight: Sight | None) -> list[Cut]:
    """Return what a look at a picture of `width` x `height` is made of; None sees it as it is."""
    whole = Box(0, 0, width, height)
    if sight is None:
        return [Cut(whole, 1.0)]
    once = min(1.0, sight.width / width, sight.height / height)
    if once >= sight.fine * ENOUGH:
        return [Cut(whole, once)]
    most = (LARGEST, LARGEST) if sight.grows else (sight.width, sight.height)
    across, down = (
        _count(side * sight.fine, longest) for side, longest in zip((width, height), most, strict=True)
    )
    return [Cut(whole, once), *(Cut(part, sight.fine) for part in tiles(width, height, across, down))]


def _count(length: float, longest: int) -> int:
    """Return how many overlapping tiles of at most `longest` cover a length."""
    count = 1
    while _size(length, count) > longest:
        count += 1
    return count


def _size(length: float, count: int) -> float:
    return length / (count - (count - 1) * TILE_OVERLAP)


def tiles(width: int, height: int, across: int, down: int) -> list[Box]:
    """Return `across` x `down` parts that overlap by TILE_OVERLAP and cover a picture."""
    return [Box(x, y, w, h) for y, h in _spans(height, down) for x, w in _spans(width, across)]


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    size = math.ceil(_size(length, count))
    step = (length - size) / max(1, count - 1)
    return [(min(length - size, round(index * step)), size) for index in range(count)]


def finest(width: int, height: int, sight: Sight | None) -> float:
    """Return the scale of the finest part of a look at such a picture, every place of which it sees."""
    return max(cut.scale for cut in cuts(width, height, sight))
