"""People who walk, run, turn round, sit down and cross are hidden whichever looks miss them.

Somebody 1.75 m tall and 0.55 m wide is seen at 100 pixels per metre, ten times a second, and hidden in frames
at 30 per second; a frame leaves once the first look after it is in, as `pipeline.hold` sees to.
"""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, covered
from firmware.core.policy import FACES, PEOPLE, SECOND_NS, TIMING, Policy
from firmware.pipeline.tracker import Tracker

LOOK_NS = SECOND_NS // 10
FRAMES_PER_LOOK = 3
LOOKS = 24
WIDTH, TALL = 55.0, 175.0
WALK, RUN = 140.0, 300.0
"""Pixels per second."""

Motion = Callable[[float], Box]
"""From seconds to where the body is."""


def standing(x: float) -> Box:
    return Box(x, 300, WIDTH, TALL)


def moving(speed: float) -> Motion:
    return lambda t: standing(500 + speed * t)


def turning(speed: float, at_s: float, braking: float = 280.0) -> Motion:
    """Go one way, turn round within a second, and go back."""

    def motion(t: float) -> Box:
        spent = t - at_s
        if spent <= 0:
            return standing(500 + speed * t)
        whole = 2 * speed / braking
        turned = min(spent, whole)
        x = speed * at_s + speed * turned - braking * turned**2 / 2
        return standing(500 + x - max(0.0, spent - whole) * speed)

    return motion


def sitting(at_s: float) -> Motion:
    """Sit down within a second: the top of the box goes half a metre down."""

    def motion(t: float) -> Box:
        down = 50 * min(1.0, max(0.0, t - at_s))
        return Box(500, 300 + down, WIDTH, TALL - down)

    return motion


def head(body: Box) -> Box:
    """Return where the head truly is: an eighth of somebody's height, in the middle of the top."""
    return Box(body.x + body.w / 2 - 10, body.y, 20, 25)


def least_hidden(
    motions: list[Motion],
    missed: set[int],
    policy: Policy = PEOPLE,
    truth: Callable[[Box], Box] = lambda b: b,
) -> float:
    """Return the least share of anybody that is hidden in any frame after the first look."""
    tracker, least = Tracker(TIMING), 1.0
    parts = policy.parts(1280)
    for look in range(LOOKS):
        at_ns = look * LOOK_NS
        seen = [] if look in missed else [Detection(Kind.PERSON, one(look / 10), 0.8) for one in motions]
        tracker = tracker.observed(at_ns, seen, TIMING.predict_for_ns)
        for step in range(FRAMES_PER_LOOK if look else 1):
            frame_ns = at_ns - step * LOOK_NS // FRAMES_PER_LOOK
            regions = policy.covers(tracker.present(frame_ns, TIMING.predict_for_ns, parts))
            for one in motions:
                who = truth(one(frame_ns / SECOND_NS))
                least = min(least, max((covered(who, region) for region in regions), default=0.0))
    return least


@st.composite
def misses(draw: st.DrawFn, first: int = 1) -> set[int]:
    """Draw runs of one to five missed looks, with at least two sightings between any of them."""
    missed, look = set(), first
    while look < LOOKS:
        run = draw(st.integers(0, 5))
        missed |= set(range(look, min(look + run, LOOKS)))
        look += run + draw(st.integers(2, 8))
    return missed


@given(speed=st.floats(-WALK, WALK), missed=misses())
@example(speed=WALK, missed={1, 2, 3, 4, 5})
def test_who_walks(speed: float, missed: set[int]) -> None:
    assert least_hidden([moving(speed)], missed) >= 0.9


@given(speed=st.floats(-RUN, RUN), missed=misses(first=2))
def test_who_runs_and_was_seen_twice(speed: float, missed: set[int]) -> None:
    assert least_hidden([moving(speed)], missed) >= 0.9


def test_who_runs_and_was_seen_once_is_half_hidden_for_one_missed_look() -> None:
    assert least_hidden([moving(RUN)], {1}) >= 0.5


@given(at_s=st.floats(0.1, 2.0), missed=misses(first=2))
@example(at_s=0.2, missed={3, 4, 5, 6, 7})
def test_who_turns_round(at_s: float, missed: set[int]) -> None:
    assert least_hidden([turning(WALK, at_s)], missed) >= 0.75


@given(at_s=st.floats(0.1, 1.5), missed=misses(first=1))
def test_who_sits_down(at_s: float, missed: set[int]) -> None:
    assert least_hidden([sitting(at_s)], missed) >= 0.9


@given(speed=st.floats(80, WALK), missed=misses(first=1))
def test_who_crosses(speed: float, missed: set[int]) -> None:
    ways = [moving(speed), lambda t: standing(500 + 2 * speed - speed * t)]
    # Two who cross between looks may be taken for one another for a moment.
    assert least_hidden(ways, missed) >= 0.8


@pytest.mark.parametrize("motion", [moving(0), moving(WALK), sitting(0.3), turning(WALK, 0.5)])
@given(missed=misses(first=1))
def test_the_head_alone_where_bodies_stay_visible(motion: Motion, missed: set[int]) -> None:
    assert least_hidden([motion], missed, FACES, head) >= 0.9


def test_a_newcomers_head_is_hidden_in_the_frames_before() -> None:
    tracker = Tracker(TIMING).observed(
        SECOND_NS, [Detection(Kind.PERSON, standing(500), 0.8)], TIMING.predict_for_ns
    )
    for before_ns in range(0, TIMING.predict_for_ns, LOOK_NS // 3):
        present = tracker.present(SECOND_NS - before_ns, TIMING.predict_for_ns, FACES.parts(1280))
        assert max(covered(head(standing(500)), region) for region in FACES.covers(present)) == 1
