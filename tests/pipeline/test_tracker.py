"""Tracks hold what they should: between looks, through misses, before the first sighting, and no longer."""

from hypothesis import given
from hypothesis import strategies as st

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, covered
from firmware.core.policy import PEOPLE, SECOND_NS, TIMING
from firmware.pipeline.tracker import MAX_TRACKS, Tracker

LOOK_NS = SECOND_NS // 10
HELD_NS = SECOND_NS // 2
ALL = PEOPLE.parts(1280)


def at(x: float, y: float, w: float = 60, h: float = 60) -> Detection:
    return Detection(Kind.FACE, Box(x, y, w, h), 0.9)


def hidden(tracker: Tracker, at_ns: int, box: Box) -> float:
    """Return how much of a box the tracker covers at a time, at best by one region."""
    return max((covered(box, region.box) for region in tracker.present(at_ns, HELD_NS, ALL)), default=0.0)


@given(
    vx=st.floats(-300, 300),
    vy=st.floats(-150, 150),
    missed=st.sets(st.integers(2, 20), max_size=12),
    frame=st.integers(0, 66),
)
def test_straight_walk_is_covered_through_any_misses_up_to_the_coast(
    vx: float, vy: float, missed: set[int], frame: int
) -> None:
    """Drop any looks, in runs shorter than the coast: the face is covered in every frame, all the same."""
    tracker = Tracker(TIMING)
    run = 0
    for look in range(24):
        run = run + 1 if look in missed else 0
        if look in missed and run < 9:
            tracker = tracker.observed(look * LOOK_NS, [], HELD_NS)
            continue
        run = 0
        seconds = look / 10
        tracker = tracker.observed(look * LOOK_NS, [at(600 + vx * seconds, 300 + vy * seconds)], HELD_NS)
        # Frames are released after the look that follows them has come, or at the latest with the hold.
        t = max(0, look * LOOK_NS - frame * SECOND_NS // 200)
        s = t / SECOND_NS
        if look * LOOK_NS - t <= HELD_NS:
            assert hidden(tracker, t, Box(600 + vx * s, 300 + vy * s, 60, 60)) >= 0.9


def test_first_sighting_hides_the_frames_before_it() -> None:
    tracker = Tracker(TIMING)
    tracker = tracker.observed(SECOND_NS, [at(100, 100)], HELD_NS)
    assert hidden(tracker, SECOND_NS - HELD_NS, Box(100, 100, 60, 60)) == 1.0
    assert hidden(tracker, SECOND_NS - HELD_NS, Box(70, 100, 60, 60)) >= 0.9
    assert tracker.present(SECOND_NS - HELD_NS - 1, HELD_NS, ALL) == []


def test_lost_track_coasts_for_the_stated_time_and_no_longer() -> None:
    tracker = Tracker(TIMING)
    tracker = tracker.observed(0, [at(100, 100)], HELD_NS)
    assert hidden(tracker, TIMING.coast_ns, Box(100, 100, 60, 60)) == 1.0
    assert tracker.present(TIMING.coast_ns + 1, HELD_NS, ALL) == []
    tracker = tracker.observed(TIMING.coast_ns + HELD_NS + 1, [], HELD_NS)
    assert len(tracker) == 0


def test_two_people_who_cross_are_both_hidden_throughout() -> None:
    tracker = Tracker(TIMING)
    for look in range(21):
        left, right = 100 + look * 20, 500 - look * 20
        tracker = tracker.observed(look * LOOK_NS, [at(left, 100), at(right, 110)], HELD_NS)
        assert hidden(tracker, look * LOOK_NS, Box(left, 100, 60, 60)) == 1.0
        assert hidden(tracker, look * LOOK_NS, Box(right, 110, 60, 60)) == 1.0


def test_newcomer_who_takes_over_a_missed_track_leaves_the_first_person_coasting() -> None:
    tracker = Tracker(TIMING)
    first = Box(100, 100, 60, 60)
    for look in range(5):
        tracker = tracker.observed(look * LOOK_NS, [at(100, 100)], HELD_NS)
    for look in range(5, 12):
        tracker = tracker.observed(look * LOOK_NS, [at(130 + 12 * (look - 5), 100)], HELD_NS)
        assert hidden(tracker, look * LOOK_NS, first) == 1.0, "missed for less than the coast"


def test_crowd_beyond_the_cap_is_told() -> None:
    tracker = Tracker(TIMING)
    tracker = tracker.observed(0, [at(200.0 * i, 0) for i in range(MAX_TRACKS)], HELD_NS)
    assert not tracker.overflow
    tracker = tracker.observed(1, [at(200.0 * i, 0) for i in range(MAX_TRACKS + 1)], HELD_NS)
    assert tracker.overflow


def test_face_and_person_do_not_become_one_track() -> None:
    tracker = Tracker(TIMING)
    box = Box(100, 100, 60, 60)
    tracker = tracker.observed(0, [Detection(Kind.FACE, box, 0.9), Detection(Kind.PERSON, box, 0.8)], HELD_NS)
    assert len(tracker) == 2
