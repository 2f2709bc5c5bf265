"""Which looks a thorough pace takes with each kind of network; sizes in pixels, by what networks can see.

Small faces want a large picture, faces near the camera a small one, and a mirrored look is a second opinion
for the price of the first: networks are not symmetric.
"""

import math

from firmware.core.geometry import Box
from firmware.pipeline.look import View, tiles

STRONG = 1280
"""Longer side that small faces are looked for at; smaller pictures are enlarged up to twice for it."""

LARGE = 1920
"""Longer side above which a picture is looked at in tiles, so that memory stays bounded."""

TILE = 1440
NEAR = 640
"""Longer side for faces that fill the picture."""


def far_and_near(width: int, height: int) -> list[View]:
    """Looks of a fast face network: large, mirrored, larger still, and small for near faces."""
    whole, longer = Box(0, 0, width, height), max(width, height)
    views = close(width, height)
    views += [View(v.part, v.scale, mirrored=True) for v in views]
    scale = strong_scale(longer)
    if longer * scale * 1.5 <= LARGE:
        views.append(View(whole, scale * 1.5))
    return [*views, View(whole, min(1.0, NEAR / longer))]


def both_ways(width: int, height: int) -> list[View]:
    """Looks of a slow face network that has to do alone: large and mirrored."""
    views = close(width, height)
    return views + [View(v.part, v.scale, mirrored=True) for v in views]


def close(width: int, height: int) -> list[View]:
    """Return one look at the whole picture, enlarged where it is small; with tiles where it is large."""
    whole, longer = Box(0, 0, width, height), max(width, height)
    if longer <= LARGE:
        return [View(whole, strong_scale(longer))]
    across, down = math.ceil(width / TILE), math.ceil(height / TILE)
    return [View(whole, STRONG / longer), *(View(part) for part in tiles(width, height, across, down))]


def strong_scale(longer: int) -> float:
    """Return how much a picture is enlarged so that its longer side nears STRONG."""
    return max(1.0, min(2.0, STRONG / longer))


def whole_both_ways(width: int, height: int) -> list[View]:
    """Return the whole picture and its mirror image."""
    whole = Box(0, 0, width, height)
    return [View(whole), View(whole, mirrored=True)]


def halves(width: int, height: int) -> list[View]:
    """Return two overlapping halves along the longer side, six tiles of a large picture."""
    short, long = (2, 3) if max(width, height) > LARGE else (1, 2)
    across, down = (long, short) if width >= height else (short, long)
    return [View(part) for part in tiles(width, height, across, down)]


def whole_and_sixths(width: int, height: int) -> list[View]:
    """Return the whole picture and six overlapping tiles."""
    across, down = (3, 2) if width >= height else (2, 3)
    return [View(Box(0, 0, width, height)), *(View(part) for part in tiles(width, height, across, down))]


def landscape_only(width: int, height: int) -> list[View]:
    """Return the whole picture both ways, if its shape fits a wide network."""
    return whole_both_ways(width, height) if width * 4 >= height * 5 else []


def upright_or_square(width: int, height: int) -> list[View]:
    """Return what `landscape_only` leaves to a square network, and the halves."""
    whole = [] if landscape_only(width, height) else whole_both_ways(width, height)
    return [*whole, *halves(width, height)]
