"""The self-test counts who is hidden, and nobody who is not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from firmware.app import self_test
from firmware.binding import bind_detectors
from firmware.config.model import ModelCache
from firmware.config.profile import chosen_profile
from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Kind, Plane
from firmware.core.policy import FACES, PEOPLE
from firmware.core.raw import DetectorPicture
from firmware.core.scene import truth
from firmware.pipeline.recall import FPS, FRAMES, HEIGHT, WIDTH, measure_recall
from firmware.ports import Detector, OpensDetector


class Knows:
    """Finds those of the scene's people that it is told to."""

    name = "knows"
    sight: Sight | None = None

    def __init__(self, finds: Callable[[int, Detection], bool]) -> None:
        self._finds = finds

    def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
        n = picture.moment.seq
        return [one for one in truth(n, FPS, WIDTH, HEIGHT) if self._finds(n, one)]


def opens(finds: Callable[[int, Detection], bool]) -> OpensDetector:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Detector]:
        yield Knows(finds)

    return opened


def grey(n: int) -> Plane:
    return np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)


async def test_all_who_are_found_count_and_nobody_else() -> None:
    assert await measure_recall([opens(lambda n, one: True)], grey, PEOPLE) == 1.0
    assert await measure_recall([opens(lambda n, one: False)], grey, PEOPLE) == 0.0
    half = await measure_recall([opens(lambda n, one: n % 2 == 0)], grey, PEOPLE)
    assert half == pytest.approx(0.5, abs=0.1)


async def test_detectors_add_up() -> None:
    first, second = opens(lambda n, one: n < FRAMES // 2), opens(lambda n, one: n >= FRAMES // 2)
    assert await measure_recall([first, second], grey, PEOPLE) == 1.0


async def test_faces_alone_are_not_people() -> None:
    faces = [opens(lambda n, one: one.kind is Kind.FACE)]
    assert await measure_recall(faces, grey, PEOPLE) <= 0.5
    assert await measure_recall(faces, grey, FACES) >= 0.5


@pytest.mark.models
async def test_this_machine_hides_the_scene(model_cache: ModelCache) -> None:
    profile = await asyncio.to_thread(chosen_profile, "laptop")
    detectors = await asyncio.to_thread(bind_detectors, profile.detectors, profile.look, model_cache)
    first = await self_test(detectors, model_cache)
    assert first >= 0.9
    assert await self_test(detectors, model_cache) == first, "the same each time"
