"""However wide, tall or large a picture is, every place in it is seen as finely as a 1280x720 picture is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core.cuts import ENOUGH, LARGEST, REFERENCE, Cut, Sight, cuts, finest
from firmware.core.geometry import Box, covered

GROWING, FIXED = Sight(640, 384, grows=True), Sight(640, 384)
SIZES = st.tuples(st.integers(32, 3840).map(lambda n: 2 * n), st.integers(32, 2160).map(lambda n: 2 * n))
SIGHTS = st.sampled_from([GROWING, FIXED, Sight(960, 544, grows=True), Sight(416, 256), Sight(256, 256)])


@pytest.mark.parametrize("sight", [GROWING, FIXED])
def test_the_reference_picture_is_looked_at_once(sight: Sight) -> None:
    assert cuts(*REFERENCE, sight) == [Cut(Box(0, 0, 1280, 720), 0.5)]


def test_a_small_picture_is_looked_at_once_and_as_it_is() -> None:
    assert cuts(640, 360, GROWING) == [Cut(Box(0, 0, 640, 360), 1.0)]
    assert cuts(4000, 3000, None) == [Cut(Box(0, 0, 4000, 3000), 1.0)]


@pytest.mark.parametrize(("size", "looks"), [((1920, 1080), 2), ((1080, 1920), 2), ((3840, 2160), 3)])
def test_a_larger_picture_is_looked_at_whole_and_in_parts(size: tuple[int, int], looks: int) -> None:
    made = cuts(*size, GROWING)
    assert made[0].part == Box(0, 0, *size)
    assert len(made) == looks


@given(size=SIZES, sight=SIGHTS, x=st.floats(0, 1), y=st.floats(0, 1))
def test_every_place_is_seen_finely_and_no_input_grows_without_bound(
    size: tuple[int, int], sight: Sight, x: float, y: float
) -> None:
    width, height = size
    made = cuts(width, height, sight)
    assert finest(width, height, sight) >= sight.fine * ENOUGH
    there = Box(x * (width - 1), y * (height - 1), 1, 1)
    assert any(cut.scale >= sight.fine * ENOUGH and covered(there, cut.part) > 0.999 for cut in made)
    most = max(LARGEST, sight.width, sight.height) if sight.grows else max(sight.width, sight.height)
    assert all(max(cut.part.w, cut.part.h) * cut.scale <= most + 1 for cut in made)
    if len(made) > 1:
        assert made[0] == Cut(Box(0, 0, width, height), min(sight.width / width, sight.height / height))


@given(size=SIZES, sight=SIGHTS, x=st.floats(0, 1), y=st.floats(0, 1))
def test_who_is_small_is_whole_in_some_fine_part(
    size: tuple[int, int], sight: Sight, x: float, y: float
) -> None:
    width, height = size
    fine = [cut for cut in cuts(width, height, sight) if cut.scale >= sight.fine * ENOUGH]
    side = 0.15 * min(max(cut.part.w for cut in fine), max(cut.part.h for cut in fine))
    somebody = Box(x * (width - side), y * (height - side), side, side)
    assert any(covered(somebody, cut.part) > 0.999 for cut in fine)
