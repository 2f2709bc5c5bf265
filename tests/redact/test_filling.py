"""Filling over time: whatever run of frames a detector misses, the person stays covered."""

from hypothesis import given
from hypothesis import strategies as st

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, covered
from firmware.redact.tracks import CARRY_NS, GAP_NS, filled, linked

STEP_NS = 40_000_000  # 25 frames per second
LENGTH = 60
LONGEST_GAP = GAP_NS // STEP_NS - 1
LONGEST_EDGE = CARRY_NS // STEP_NS
TIMES = [n * STEP_NS for n in range(LENGTH)]


def truth(speed: float, kind: Kind = Kind.FACE) -> list[Detection]:
    """One person on a straight way, `speed` in pixels per frame."""
    return [Detection(kind, Box(100 + speed * n, 50, 40, 50), 0.8) for n in range(LENGTH)]


speeds = st.floats(-2, 2)


@given(speeds, st.integers(1, LENGTH - 2), st.integers(1, LONGEST_GAP))
def test_any_run_of_misses_leaves_nobody_uncovered(speed: float, start: int, run: int) -> None:
    people = truth(speed)
    end = min(start + run, LENGTH - 1)
    looks = [[] if start <= n < end else [people[n]] for n in range(LENGTH)]
    for person, found in zip(people, filled(TIMES, looks), strict=True):
        assert max((covered(person.box, d.box) for d in found), default=0) > 0.9


@given(speeds, st.integers(1, LONGEST_EDGE))
def test_misses_at_both_ends_leave_nobody_uncovered(speed: float, run: int) -> None:
    people = truth(speed)
    looks = [[people[n]] if run <= n < LENGTH - run else [] for n in range(LENGTH)]
    for person, found in zip(people, filled(TIMES, looks), strict=True):
        assert max((covered(person.box, d.box) for d in found), default=0) > 0.9


@given(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
def test_what_was_seen_is_never_taken_away(seen: list[bool]) -> None:
    people = truth(1.0)
    looks = [[people[n]] if seen[n] else [] for n in range(LENGTH)]
    for before, after in zip(looks, filled(TIMES, looks), strict=True):
        assert after[: len(before)] == before


def test_a_gap_that_is_too_long_is_two_paths() -> None:
    people = truth(0.0)
    looks = [[] if 10 <= n <= 10 + GAP_NS // STEP_NS else [people[n]] for n in range(LENGTH)]
    assert len(linked(TIMES, looks)) == 2
    assert filled(TIMES, looks)[25] == []


def test_a_face_never_continues_as_a_person() -> None:
    looks = [[one] for one in truth(0.0)[:3] + truth(0.0, Kind.PERSON)[3:]]
    assert [path.kind for path in linked(TIMES, looks)] == [Kind.FACE, Kind.PERSON]


def test_two_who_cross_are_two_paths() -> None:
    right = truth(1.0)
    left = [Detection(Kind.FACE, Box(160 - n, 120, 40, 50), 0.8) for n in range(LENGTH)]
    paths = linked(TIMES, [[a, b] for a, b in zip(right, left, strict=True)])
    assert sorted(len(path.seen) for path in paths) == [LENGTH, LENGTH]
    assert all(len({s.found.box.y for s in path.seen}) == 1 for path in paths)


def test_frames_without_time_between_them_do_no_harm() -> None:
    people = truth(1.0)
    assert len(filled([5] * 4, [[people[0]], [], [], [people[3]]])) == 4


def test_an_empty_clip_is_filled_with_nothing() -> None:
    assert filled([], []) == []


def test_a_flicker_is_not_carried_on() -> None:
    weak = Detection(Kind.FACE, Box(100, 50, 40, 50), 0.3)
    assert [len(found) for found in filled(TIMES[:5], [[], [], [weak], [], []])] == [0, 0, 1, 0, 0]
