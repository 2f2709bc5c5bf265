"""Views: what a look sees, and where its boxes lie in the whole picture."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.config.model import Looks
from firmware.core.cuts import tiles
from firmware.core.frames import Detection, Kind, Planes
from firmware.core.geometry import Box, iou
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.redact import views as offline_views
from firmware.redact.look import Eye, Seen, View, Views, look, merged
from tests.redact.conftest import BrightSquares

SIZES = st.integers(16, 5000)
PLANS = [view for name, view in offline_views.VIEWS.items() if name not in {"whole", "whole_and_sixths"}]
"""The plans of networks that take pictures of any size."""


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_box_comes_back_where_it_was(scale: float, mirrored: bool) -> None:
    picture = np.zeros((120, 200, 3), np.uint8)
    picture[40:64, 90:122] = 255
    view = View(Box(60, 20, 100, 80), scale, mirrored)
    bright = np.argwhere(view.cut(picture)[:, :, 0] > 128)
    (y0, x0), (y1, x1) = bright.min(axis=0), bright.max(axis=0) + 1
    assert iou(view.back(Box(x0, y0, x1 - x0, y1 - y0)), Box(90, 40, 32, 24)) > 0.85


@given(SIZES, SIZES, st.integers(1, 4), st.integers(1, 4))
def test_tiles_cover_the_picture_and_stay_in_it(width: int, height: int, across: int, down: int) -> None:
    parts = tiles(width, height, across, down)
    assert len(parts) == across * down
    assert all(p.x >= 0 and p.y >= 0 and p.right <= width and p.bottom <= height for p in parts)
    for axis in (0, 1):
        spans = sorted({(p.x, p.right) if axis == 0 else (p.y, p.bottom) for p in parts})
        assert spans[0][0] == 0
        assert spans[-1][1] == (width if axis == 0 else height)
        assert all(after[0] <= before[1] for before, after in pairwise(spans))


def test_manifests_can_name_every_plan_and_no_other() -> None:
    assert set(get_args(Looks)) == set(offline_views.VIEWS)


@pytest.mark.parametrize("plan", PLANS)
@given(SIZES, SIZES)
def test_looks_are_bounded(plan: Views, width: int, height: int) -> None:
    for view in plan(width, height):
        assert 1 <= view.part.w * view.scale <= 2000
        assert 1 <= view.part.h * view.scale <= 2000


def test_a_face_seen_twice_is_one_box_that_holds_both() -> None:
    one, two = Detection(Kind.FACE, Box(0, 0, 20, 20), 0.5), Detection(Kind.FACE, Box(2, 2, 20, 20), 0.9)
    other = Detection(Kind.PERSON, Box(0, 0, 20, 20), 0.3)
    seen = [Seen(found, sure=True) for found in (one, two, other)]
    assert merged(seen) == [Detection(Kind.FACE, Box(0, 0, 22, 22), 0.9), other]


def test_a_person_seen_twice_is_the_better_box() -> None:
    one, two = Detection(Kind.PERSON, Box(0, 0, 20, 20), 0.5), Detection(Kind.PERSON, Box(2, 2, 20, 20), 0.9)
    assert merged([Seen(one, sure=True), Seen(two, sure=True)]) == [two]


def test_a_look_finds_in_tiles_what_it_finds_whole(squares: BrightSquares) -> None:
    i420 = np.full((150, 200), 128, np.uint8)
    planes = Planes.of(i420)
    planes.y[:] = 60
    planes.y[30:50, 90:110] = 235
    frame = RawFrame(planes, 0, 0)
    views = [View(part) for part in tiles(200, 100, 2, 1)]
    (found,) = look(frame, [Eye(squares, lambda w, h: views, {Kind.FACE: 0.5})])
    assert iou(found.box, Box(90, 30, 20, 20)) > 0.8
    assert squares.looks == 2


def test_a_doubt_of_one_look_needs_a_second() -> None:
    doubt = Seen(Detection(Kind.PERSON, Box(0, 0, 20, 20), 0.3), sure=False)
    assert merged([doubt]) == []
    assert merged([doubt, doubt]) == [doubt.found]


@pytest.mark.parametrize("kind", [Kind.PERSON, Kind.HEAD])
def test_a_doubtful_face_counts_on_somebody_whom_others_see(kind: Kind) -> None:
    doubt = Seen(Detection(Kind.FACE, Box(0, 0, 20, 20), 0.3), sure=False)
    assert merged([doubt]) == []
    assert merged([doubt, Seen(Detection(kind, Box(0, 0, 60, 200), 0.3), sure=False)]) == [doubt.found]
    assert merged([doubt, Seen(Detection(kind, Box(15, 15, 60, 200), 0.3), sure=False)]) == []


def test_a_doubtful_person_is_the_more_doubtful_without_a_head() -> None:
    class Told:
        name, sight = "told", None

        def __init__(self, *found: Detection) -> None:
            self._found = found

        def detect(self, _: DetectorPicture) -> list[Detection]:
            return list(self._found)

    person = Detection(Kind.PERSON, Box(10, 10, 20, 60), 0.4)
    head = Detection(Kind.HEAD, Box(14, 10, 10, 10), 0.9)
    frame = RawFrame(Planes.of(np.full((150, 200), 128, np.uint8)), 0, 0)
    sure = {Kind.PERSON: 0.3, Kind.HEAD: 0.3}
    assert look(frame, [Eye(Told(person), offline_views.whole, sure, 0.5)]) == []
    assert look(frame, [Eye(Told(person), offline_views.whole, sure, 0.4)]) == [person]
    assert look(frame, [Eye(Told(person, head), offline_views.whole, sure, 0.5)]) == [head, person]


def test_what_is_too_high_for_a_look_is_left_to_others(squares: BrightSquares) -> None:
    planes = Planes.of(np.full((150, 200), 128, np.uint8))
    planes.y[:] = 60
    planes.y[30:50, 90:110] = 235
    frame = RawFrame(planes, 0, 0)
    for highest, counts in ((19, False), (22, True)):
        view = View(Box(0, 0, 200, 100), highest=highest)
        assert bool(look(frame, [Eye(squares, lambda *_, view=view: [view], {Kind.FACE: 0.5})])) == counts


@pytest.mark.parametrize(("sure", "counts"), [(0.9, True), (0.91, False)])
def test_what_a_look_is_sure_of_is_each_detectors_own(
    sure: float, counts: bool, squares: BrightSquares
) -> None:
    planes = Planes.of(np.full((150, 200), 128, np.uint8))
    planes.y[:] = 60
    planes.y[30:50, 90:110] = 235
    found = look(RawFrame(planes, 0, 0), [Eye(squares, offline_views.whole, {Kind.FACE: sure})])
    assert bool(found) == counts
