"""Measures the smallest face and body that a live look always finds, in a picture of a stated size.

The person of the built-in scene is put into its empty hall at one size after another, many times over; a face
counts as hidden where nine tenths of it are, whoever saw it, and a body where a network found that body.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from firmware.binding import bind_detectors
from firmware.config.model import ModelCache
from firmware.config.portrait import portrait
from firmware.config.profile import Profile
from firmware.pipeline.sizes import Sizes


@dataclass(frozen=True, slots=True)
class SizesReport:
    """Heights in pixels; a share of those tried, 0 to 1, at each height of a face."""

    width: int
    height: int
    chain: str
    detectors: tuple[str, ...]
    smallest_face: int | None
    """From here on every face was hidden; None where none was."""
    smallest_body: int | None
    """From here on every body was found; the scene's people are seen to the waist."""
    faces_hidden: dict[int, float]
    bodies_found: dict[int, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


async def measure_sizes(
    profile: Profile, cache: ModelCache, width: int, height: int, progress: Callable[[], None]
) -> SizesReport:
    """Look at people of every size; `progress` is called once for each.

    Raises:
        VeilcamError: the models are not there, or one cannot be opened.
    """
    bound = await asyncio.to_thread(bind_detectors, profile.detectors, profile.look, cache)
    async with AsyncExitStack() as parts:
        detectors = [await parts.enter_async_context(one.opens()) for one in bound.detectors]
        work = Sizes(detectors, await asyncio.to_thread(portrait, cache), width, height)
        faces, bodies = await asyncio.to_thread(work.measure, progress)
    return SizesReport(
        width, height, bound.chain, bound.names, _from_here(faces), _from_here(bodies), faces, bodies
    )


def _from_here(shares: dict[int, float]) -> int | None:
    """Return the least size from which on every share is one."""
    smallest = None
    for size in sorted(shares, reverse=True):
        if shares[size] < 1:
            break
        smallest = size
    return smallest
