"""The smallest face and body that the camera states are found in pictures of any shape and size."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from firmware.binding import bind_detectors
from firmware.config.model import ModelCache, load_chains, load_manifests
from firmware.config.portrait import portrait
from firmware.config.profile import LookProfile, find_profile
from firmware.core.frames import Kind
from firmware.core.scene import FACE, holds
from firmware.pipeline.sizes import Sizes

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]

SHAPES = [(1280, 720), (1920, 1080), (1080, 1920), (3840, 1080), (640, 480)]
STATED = 20
"""Pixels: what README says of faces, whatever the picture."""

ANYWHERE = [chain.name for chain in load_chains() if chain.name != "coral"]
"""Chains that need no accelerator."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("chain", ANYWHERE)
def test_all_of_the_stated_size_are_found(
    chain: str, shape: tuple[int, int], model_cache: ModelCache
) -> None:
    chosen = next(one for one in load_chains() if one.name == chain)
    if not model_cache.complete(chosen, load_manifests()):
        pytest.skip(f"chain {chain} is not here: run scripts/fetch-models")
    bound = bind_detectors(find_profile("laptop").detectors, LookProfile(chain=chain), model_cache)
    face, body = (bound.smallest(kind, *shape) for kind in (Kind.FACE, Kind.PERSON))
    assert face is not None
    assert body is not None
    assert face <= STATED

    async def measured() -> tuple[float, float]:
        async with AsyncExitStack() as parts:
            detectors = [await parts.enter_async_context(one.opens()) for one in bound.detectors]
            work = Sizes(detectors, portrait(model_cache), *shape)
            of_body = round(body * FACE.h / dict(holds())[Kind.PERSON].h)
            return work.shares(face)[0], work.shares(of_body)[1]

    assert asyncio.run(measured()) == (1, 1), (face, body)
