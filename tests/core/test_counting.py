"""Counting: crossings by direction, dwell times, occupancy, and what is withheld, on paths that are known."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core.counting import DWELLS_S, GONE_NS, Counting, Step, Window
from firmware.core.places import Line, Point, Zone, is_plain, shared
from firmware.core.policy import SECOND_NS

LOOK_NS = SECOND_NS // 10
UP = Line("door", (0.5, 1.0), (0.5, 0.0))
"""From below to above: its right is the picture's right."""
LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))

Path = Callable[[int], Point | None]
"""Where somebody is at a look; None where they are not seen."""


def watched(
    paths: Sequence[Path], looks: int, *, least: int = 1, zones: Sequence[Zone] = (LEFT,), line: Line = UP
) -> tuple[Counting, int]:
    """Count people on their paths; returns the time of the last look, too."""
    counting, before = Counting(zones, [line], least, 0), dict[int, int]()
    for n in range(looks):
        steps = []
        for who, path in enumerate(paths):
            foot = path(n)
            if foot is not None:
                # What they are known by changes with every look, as with the tracker's boxes.
                steps.append(Step((who, before.get(who)), (who, n), foot))
                before[who] = n
        counting.look(n * LOOK_NS, steps)
    return counting, (looks - 1) * LOOK_NS


def ended(paths: Sequence[Path], looks: int, least: int = 1) -> Window:
    """The window after everybody has gone."""
    counting, now = watched(paths, looks, least=least)
    return counting.window(now + 2 * GONE_NS)


@given(
    st.lists(st.floats(0, 1).filter(lambda x: abs(x - 0.5) > 0.011), min_size=2, max_size=60), st.floats(0, 1)
)
def test_each_change_of_sides_counts_once_in_its_direction(xs: list[float], y: float) -> None:
    told = ended([lambda n: (xs[n], y)], len(xs)).lines["door"]
    sides = [x > 0.5 for x in xs]
    assert told.to_right == sum(after > before for before, after in pairwise(sides))
    assert told.to_left == sum(after < before for before, after in pairwise(sides))
    back = ended([lambda n: (xs[-1 - n], y)], len(xs)).lines["door"]
    assert (back.to_left, back.to_right) == (told.to_right, told.to_left)


@given(st.lists(st.floats(0.491, 0.509), min_size=2, max_size=60))
def test_who_sways_on_the_line_does_not_cross_it(xs: list[float]) -> None:
    told = ended([lambda n: (xs[n], 0.5)], len(xs)).lines["door"]
    assert (told.to_left, told.to_right) == (0, 0)


@given(st.floats(0, 2 * math.pi), st.floats(0.1, 0.4))
def test_only_the_line_itself_is_crossed_and_not_what_is_beyond_its_ends(turn: float, reach: float) -> None:
    dx, dy = math.cos(turn), math.sin(turn)
    line = Line("short", (0.5 - 0.05 * dx, 0.5 - 0.05 * dy), (0.5 + 0.05 * dx, 0.5 + 0.05 * dy))

    def way(along: float) -> Path:
        return lambda n: (
            0.5 + along * dx - reach * dy * (n / 10 - 1),
            0.5 + along * dy + reach * dx * (n / 10 - 1),
        )

    for along, crossed in ((0.0, 1), (0.04, 1), (0.06, 0), (-0.06, 0)):
        counting, now = watched([way(along)], 21, line=line)
        told = counting.window(now).lines["short"]
        assert (told.to_left, told.to_right) == (0, crossed), along


@given(st.lists(st.integers(5, 1200), min_size=1, max_size=6))
def test_each_stay_is_in_the_bucket_of_its_length(lengths: list[int]) -> None:
    paths: list[Path] = [lambda n, most=most: (0.2, 0.5) if n <= most else None for most in lengths]  # type: ignore[misc]
    told = ended(paths, max(lengths) + 1).zones["left"]
    expected = [0] * (len(DWELLS_S) + 1)
    for looks in lengths:
        expected[sum(looks / 10 > end for end in DWELLS_S)] += 1
    assert list(told.dwell) == expected
    assert told.people == 0


@given(st.integers(1, 10), st.integers(50, 200))
def test_a_gap_that_the_tracker_bridges_and_a_step_outside_make_no_second_stay(gap: int, looks: int) -> None:
    missed = ended([lambda n: None if 20 <= n < 20 + gap else (0.2, 0.5)], looks).zones["left"]
    outside = ended([lambda n: (0.6, 0.5) if 20 <= n < 20 + gap - 1 else (0.2, 0.5)], looks).zones["left"]
    assert sum(count or 0 for count in missed.dwell) == sum(count or 0 for count in outside.dwell) == 1


@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6))
def test_small_counts_are_withheld_and_others_told(left: int, right: int, least: int) -> None:
    paths: list[Path] = [lambda n: (0.2, 0.5)] * left + [lambda n: (0.8, 0.5)] * right
    counting, now = watched(paths, 20, least=least)
    people = counting.window(now).zones["left"].people
    assert people == (None if 0 < left < least else left)
    after = counting.window(now + 2 * GONE_NS).zones["left"]
    assert after.dwell[0] == (None if 0 < left < least else left)
    assert after.people == 0


def test_a_window_counts_its_own_time_alone_and_says_how_much_of_it_was_looked_at() -> None:
    counting, now = watched([lambda n: (n / 100, 0.5)], 100)
    first = counting.window(now)
    assert first.lines["door"].to_right == 1
    assert first.looked == 1
    second = counting.window(now + 60 * SECOND_NS)
    assert second.lines["door"].to_right == 0
    assert second.looked == 0
    assert second.span_s == 60


def test_nobody_who_was_gone_is_known_again() -> None:
    counting, _ = watched([lambda n: (0.2, 0.5) if n < 20 else None], 20)
    counting.look(10 * SECOND_NS, [])
    assert counting._people == {}
    counting.look(11 * SECOND_NS, [Step((0, 19), (0, 200), (0.2, 0.5))])
    assert [person.seen_ns for person in counting._people.values()] == [11 * SECOND_NS]
    assert counting._people[0, 200].stays[0].since_ns == 11 * SECOND_NS


@pytest.mark.parametrize(
    ("corners", "plain"),
    [
        (((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)), True),
        (((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)), False),
        (((0.1, 0.1), (0.5, 0.4), (0.9, 0.1), (0.5, 0.9)), True),
    ],
)
def test_sides_that_cross_are_noticed(corners: tuple[Point, ...], plain: bool) -> None:
    assert is_plain(Zone("z", corners)) is plain


def test_zones_that_share_something_are_noticed_and_neighbours_are_not() -> None:
    right = Zone("right", ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    inner = Zone("inner", ((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.1, 0.3)))
    assert shared([LEFT, right]) is None
    assert shared([LEFT, right, inner]) == (LEFT, inner)
    assert shared([LEFT, LEFT]) == (LEFT, LEFT)
