"""A screen before the camera: how late its clock comes out, and that a face on it does not.

The screen's browser has the page of hil/screen.py open: http://ADDRESS:PORT/ of VEILCAM_SCREEN=ADDRESS:PORT,
which is where the suite serves it. No bench has run this: tests/system/test_screen.py holds the page, and the
reading of it, to a real browser.
"""

import os
import statistics
from collections.abc import AsyncIterator

import numpy as np
import pytest

from firmware.core.frames import Plane
from hil import clock
from hil.bench import Bench
from hil.results import Results
from hil.screen import Screen, now_ms, serving
from hil.test_stream import Player

pytestmark = [pytest.mark.lg_feature("screen")]
READINGS, PICTURES = 60, 600


@pytest.fixture
async def screen() -> AsyncIterator[Screen]:
    where = os.environ.get("VEILCAM_SCREEN", "")
    if not where:
        pytest.skip("say where the screen's page is to be served: VEILCAM_SCREEN=ADDRESS:PORT")
    address, _, port = where.rpartition(":")
    async with serving(address, int(port)) as served:
        yield served


async def test_a_clock_on_the_screen_is_live(bench: Bench, screen: Screen, results: Results) -> None:
    await bench.until_shown()
    await screen.show("clock")
    ages: list[float] = []
    async with Player(bench) as player:
        for _ in range(PICTURES):
            picture = (await player.frame()).to_ndarray(format="bgr24")
            now, straight = now_ms(), clock.screen(np.asarray(picture, np.uint8))
            read = None if straight is None else clock.ticks(straight)
            if read is not None:
                ages.append(clock.age_ms(read, now))
            if len(ages) == READINGS:
                break
    assert len(ages) == READINGS, f"the clock was read {len(ages)} times: is the whole screen in the picture?"
    middle = statistics.median(ages)
    results.figure("screen to decoded picture, median of 60", middle, "ms")
    results.figure("screen to decoded picture, latest of 60", max(ages), "ms")
    assert middle < 1000, "what is shown later is no live view"


async def test_a_face_on_the_screen_does_not_come_out(bench: Bench, screen: Screen) -> None:
    from hil.looks import faces  # noqa: PLC0415 - the models are needed here for this alone

    await bench.until_shown()
    await screen.show("nothing")
    async with Player(bench) as player:
        empty = await straightened(player)
        await screen.show("face")
        for _ in range(30):  # what was on its way when the face came
            await player.frame()
        frames = [await player.frame() for _ in range(90)]
    pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
    assert [await faces(picture) for picture in pictures[::10]] == [[]] * 9
    # Something hides it there: what is in its place is neither the empty screen nor a picture of anything.
    middle = pictures_of_middle(pictures)
    assert middle, "the screen's corners are hidden too: show the page smaller, or move the camera back"
    assert all(one.std() < 12 for one in middle)
    assert abs(float(middle[-1].mean()) - float(centre(empty).mean())) > 5


async def straightened(player: Player) -> Plane:
    """Return the screen as the camera shows it."""
    for _ in range(PICTURES):
        picture = (await player.frame()).to_ndarray(format="bgr24")
        found = clock.screen(np.asarray(picture, np.uint8))
        if found is not None:
            return found
    raise AssertionError("the screen's corners were in no picture: is the whole screen in view, and sharp?")


def centre(straight: Plane) -> Plane:
    """Return where the face is shown."""
    return straight[300:420, 590:690]


def pictures_of_middle(pictures: list[Plane]) -> list[Plane]:
    found = (clock.screen(picture) for picture in pictures)
    return [centre(one) for one in found if one is not None]
