"""Which looks a thorough pace takes with each kind of network; sizes in pixels, by what networks can see.

Small faces want a large picture, faces near the camera a small one, and a mirrored look is a second opinion
for the price of the first: networks are not symmetric.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from firmware.core.cuts import tiles
from firmware.core.geometry import Box
from firmware.redact.look import View, Views

STRONG = 1280
"""Longer side that small faces are looked for at; smaller pictures are enlarged up to twice for it."""

LARGE = 1920
"""Longer side above which a picture is looked at in tiles, so that memory stays bounded."""

TILE = 1440
NEAR = 640
HIGHEST = 128
"""Longer side of the look for near faces, and pixels above which the other looks leave a face to it."""

PEOPLE = 640
HALF = 416
PEOPLE_ENLARGED = 1.5
"""Longer side that people are looked for at, that of a half, and how much small pictures are enlarged."""


def far_and_near(width: int, height: int) -> list[View]:
    """Looks of a fast face network: large, mirrored, larger still, and small for near faces."""
    picture, longer = Box(0, 0, width, height), max(width, height)
    views = [replace(view, highest=HIGHEST) for view in close(width, height)]
    views += [replace(view, mirrored=True) for view in views]
    scale = strong_scale(longer)
    if longer * scale * 1.5 <= LARGE:
        views.append(View(picture, scale * 1.5, highest=HIGHEST))
    return [*views, View(picture, min(1.0, NEAR / longer))]


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


def whole(width: int, height: int) -> list[View]:
    """Return the whole picture as it is."""
    return [View(Box(0, 0, width, height))]


def whole_and_sixths(width: int, height: int) -> list[View]:
    """Return the whole picture and six overlapping tiles."""
    across, down = (3, 2) if width >= height else (2, 3)
    return [*whole(width, height), *(View(part) for part in tiles(width, height, across, down))]


def people(width: int, height: int) -> list[View]:
    """Return the whole picture both ways, as large as people are best seen; large pictures in halves, too."""
    scale = min(PEOPLE_ENLARGED, PEOPLE / max(width, height))
    seen = Box(0, 0, width, height)
    views = [View(seen, scale), View(seen, scale, mirrored=True)]
    return views + (halves(width, height) if max(width, height) > LARGE else [])


def people_and_halves(width: int, height: int) -> list[View]:
    """Return the same, and the halves of every picture: looks of a network that misses small people."""
    return [*people(width, height), *(halves(width, height) if max(width, height) <= LARGE else ())]


def halves(width: int, height: int) -> list[View]:
    """Return two overlapping halves along the longer side, six tiles of a large picture."""
    short, long = (2, 3) if max(width, height) > LARGE else (1, 2)
    across, down = (long, short) if width >= height else (short, long)
    parts = tiles(width, height, across, down)
    return [View(part, min(PEOPLE_ENLARGED, HALF / max(part.w, part.h))) for part in parts]


VIEWS: Mapping[str, Views] = MappingProxyType(
    {
        name.__name__: name
        for name in (whole, far_and_near, close, whole_and_sixths, people, people_and_halves)
    }
)
"""By the name that manifests give them."""
