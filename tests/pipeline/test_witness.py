"""Verdicts: verified, predicted and blind, and nothing in between."""

from dataclasses import replace

import numpy as np
import pytest

from firmware.core.frames import Detection, Judgement, Kind, Planes, Verdict
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.policy import PEOPLE, SECOND_NS, TIMING
from firmware.core.raw import RawFrame
from firmware.pipeline.hold import Hold
from firmware.pipeline.tracker import MAX_TRACKS
from firmware.pipeline.witness import DAMAGED, NO_TIME, Witness

ONE = "the one source"
BLIND = Judgement(Verdict.BLIND, (), PEOPLE.digest)
FOUND = [Detection(Kind.PERSON, Box(10, 10, 20, 40), 0.8)]


def witness_of_one() -> Witness:
    return Witness(PEOPLE, {ONE: frozenset(Kind)})


def frame(seq: int, at_ns: int) -> RawFrame:
    return RawFrame(Planes.of(np.zeros((96, 64), np.uint8)), at_ns, seq)


def test_blind_before_the_first_look() -> None:
    witness = witness_of_one()
    assert witness.judge(frame(0, 0)) == BLIND
    assert witness.reason


def test_looked_at_frame_is_verified_and_frames_between_looks_are_predicted() -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(5, SECOND_NS).moment, FOUND)
    assert witness.judge(frame(5, SECOND_NS)).verdict is Verdict.VERIFIED
    later = frame(6, SECOND_NS + 1000)
    assert not witness.settled(later)
    assert witness.judge(later) == BLIND, "nobody has looked since"
    witness.saw(ONE, frame(9, SECOND_NS + 2000).moment, FOUND)
    assert witness.settled(later)
    judged = witness.judge(frame(7, SECOND_NS + 1500))
    assert judged.verdict is Verdict.PREDICTED
    assert len(judged.regions) == 1


def test_looks_too_far_from_a_frame_leave_it_blind() -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(1, 0).moment, FOUND)
    witness.saw(ONE, frame(90, 2 * TIMING.predict_for_ns + 2).moment, FOUND)
    middle = frame(40, TIMING.predict_for_ns + 1)
    assert witness.judge(middle) == BLIND
    assert "too late" in witness.reason


def test_who_appears_between_looks_is_hidden_in_the_frames_before_the_sighting() -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(1, 0).moment, [])
    witness.saw(ONE, frame(4, SECOND_NS // 10).moment, FOUND)
    judged = witness.judge(frame(2, SECOND_NS // 30))
    assert judged.verdict is Verdict.PREDICTED
    assert len(judged.regions) == 1


def test_frame_before_the_first_look_stays_blind() -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(5, SECOND_NS).moment, [])
    assert witness.judge(frame(4, SECOND_NS - 1)).verdict is Verdict.BLIND


def test_lost_detector_is_blind_at_once_even_for_verified_frames() -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(5, SECOND_NS).moment, FOUND)
    witness.lose(ONE, "gone")
    assert witness.judge(frame(5, SECOND_NS)) == BLIND
    assert witness.reason == "gone"
    assert witness.settled(frame(6, SECOND_NS + 1)), "a blind frame need not wait"


@pytest.mark.parametrize(
    ("seq", "at_ns"), [(5, SECOND_NS + 1), (6, SECOND_NS), (6, SECOND_NS - 1), (4, 2 * SECOND_NS)]
)
def test_looks_whose_time_or_number_does_not_rise_leave_nothing_known(seq: int, at_ns: int) -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(5, SECOND_NS).moment, FOUND)
    witness.saw(ONE, frame(seq, at_ns).moment, FOUND)
    assert witness.judge(frame(5, SECOND_NS)) == BLIND
    assert "clock" in witness.reason
    witness.saw(ONE, frame(7, 3 * SECOND_NS).moment, FOUND)
    assert witness.judge(frame(7, 3 * SECOND_NS)).verdict is Verdict.VERIFIED


def test_crowd_over_the_cap_is_blind() -> None:
    witness = witness_of_one()
    crowd = [Detection(Kind.FACE, Box(200.0 * i, 0, 50, 50), 0.9) for i in range(MAX_TRACKS + 1)]
    witness.saw(ONE, frame(1, 0).moment, crowd)
    assert witness.judge(frame(1, 0)) == BLIND
    assert "more people" in witness.reason


@pytest.mark.parametrize("fps", [1, 2, 3, 5, 8, 10, 30])
@pytest.mark.parametrize("opening_s", [0, 3])
def test_slow_camera_hides_who_was_seen_however_long_frames_are_held(fps: int, opening_s: int) -> None:
    """The hold counts frames: whoever left, or was seen often since, is still hidden in those it keeps."""
    witness, hold = witness_of_one(), Hold(TIMING.hold_frames, TIMING.hold_limit)
    due_ns, left_ns, shown = opening_s * SECOND_NS, 12 * SECOND_NS, 0
    for seq in range(20 * fps):
        now_ns = seq * SECOND_NS // fps
        if now_ns >= due_ns:
            witness.saw(ONE, frame(seq, now_ns).moment, FOUND if now_ns < left_ns else [])
            due_ns = now_ns + SECOND_NS // 10
        for held in hold.push(frame(seq, now_ns), witness.settled):
            judged = witness.judge(held)
            if judged.verdict is not Verdict.BLIND and held.captured_ns < left_ns:
                shown += 1
                assert judged.regions, f"{judged.verdict} at {held.captured_ns / SECOND_NS} s"
    assert shown


def test_frames_that_go_back_come_twice_or_are_of_no_known_time_are_blind() -> None:
    for second in ((5, SECOND_NS), (6, SECOND_NS), (5, SECOND_NS + 1), (4, SECOND_NS - 1)):
        witness = witness_of_one()
        witness.saw(ONE, frame(5, SECOND_NS).moment, FOUND)
        assert witness.judge(frame(5, SECOND_NS)).verdict is Verdict.VERIFIED
        assert witness.judge(frame(*second)) == BLIND
        assert "clock" in witness.reason
    unknown = frame(7, 2 * SECOND_NS)
    unknown.timeline = None
    assert witness.settled(unknown)
    assert witness.judge(unknown) == BLIND
    witness.saw(ONE, unknown.moment, FOUND)
    assert witness.judge(frame(8, 3 * SECOND_NS)) == BLIND


def test_a_damaged_frame_is_blind_at_once_and_the_next_good_one_is_not() -> None:
    witness = witness_of_one()
    for seq in range(3):
        witness.saw(ONE, frame(seq, seq * 40_000_000).moment, [])
    assert witness.judge(frame(0, 0)).verdict is Verdict.VERIFIED
    stand_in = replace(frame(1, 40_000_000), timeline=None, damaged=True)
    assert witness.settled(stand_in)
    assert witness.judge(stand_in).verdict is Verdict.BLIND
    assert witness.reason == DAMAGED
    assert witness.judge(frame(2, 80_000_000)).verdict is Verdict.VERIFIED
    assert witness.reason == ""


def test_a_damaged_frame_is_told_as_such_whatever_else_is_wrong() -> None:
    """Its stand-in is of no known time: whoever reads that the clock is wrong looks for the wrong thing."""
    witness = witness_of_one()
    stand_in = replace(frame(1, 40_000_000), timeline=None, damaged=True)
    witness.saw(ONE, stand_in.moment, FOUND)
    assert witness.judge(stand_in) == BLIND
    assert witness.reason == DAMAGED
    assert witness.judge(replace(stand_in, seq=2, damaged=False)) == BLIND
    assert witness.reason == NO_TIME


def test_looks_and_frames_of_two_timelines_are_not_compared() -> None:
    witness = witness_of_one()
    witness.saw(ONE, Moment(1, SECOND_NS, SECOND_NS, 0), FOUND)
    between = Moment(2, SECOND_NS + 1000, SECOND_NS + 1000, 1)
    witness.saw(ONE, Moment(3, SECOND_NS + 2000, SECOND_NS + 2000, 1), FOUND)
    judged = RawFrame(frame(0, 0).planes, between.captured_ns, 2, timeline=1)
    assert witness.settled(judged)
    assert witness.judge(judged) == BLIND, "the look before it is of another timeline"


def test_half_a_second_is_half_a_second_by_both_clocks() -> None:
    late = TIMING.predict_for_ns + 1
    for captured, arrived in ((1000, late), (late, 1000)):
        witness = witness_of_one()
        witness.saw(ONE, Moment(1, 0, 0), FOUND)
        witness.saw(ONE, Moment(3, captured + 2000, arrived + 2000), FOUND)
        held = RawFrame(frame(0, 0).planes, captured, 2, arrived_ns=arrived)
        assert witness.judge(held) == BLIND


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e9])
@pytest.mark.parametrize("place", range(5))
def test_boxes_and_scores_that_make_no_sense_leave_nothing_known(bad: float, place: int) -> None:
    witness = witness_of_one()
    witness.saw(ONE, frame(1, 0).moment, FOUND)
    values = [10.0, 10.0, 20.0, 40.0, 0.8]
    values[place] = bad
    witness.saw(ONE, frame(2, 1000).moment, [*FOUND, Detection(Kind.PERSON, Box(*values[:4]), values[4])])
    assert witness.judge(frame(2, 1000)) == BLIND
    assert "no sense" in witness.reason
    witness.saw(ONE, frame(3, 2000).moment, FOUND)
    assert witness.judge(frame(3, 2000)).verdict is Verdict.VERIFIED


def test_frames_before_and_of_a_crowd_stay_blind_when_it_has_gone() -> None:
    """The crowd is forgotten: no later look makes the frames that it was seen in verified or predicted."""
    witness = witness_of_one()
    crowd = [Detection(Kind.FACE, Box(20.0 * n, 0, 10, 10), 0.9) for n in range(MAX_TRACKS + 1)]
    witness.saw(ONE, frame(1, 0).moment, FOUND)
    witness.saw(ONE, frame(3, 2000).moment, crowd)
    witness.saw(ONE, frame(5, 4000).moment, [])
    for seq in (1, 2, 3, 4):
        assert witness.judge(frame(seq, (seq - 1) * 1000)) == BLIND, seq
    assert witness.judge(frame(5, 4000)).verdict is Verdict.VERIFIED
