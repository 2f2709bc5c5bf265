"""Verdicts: verified, predicted and blind, and nothing in between."""

import numpy as np

from firmware.core.frames import Detection, Kind, Planes, Verdict
from firmware.core.geometry import Box
from firmware.core.policy import PEOPLE, SECOND_NS
from firmware.core.raw import RawFrame
from firmware.pipeline.track import MAX_TRACKS
from firmware.pipeline.witness import Witness

FOUND = [Detection(Kind.PERSON, Box(10, 10, 20, 40), 0.8)]


def frame(seq: int, at_ns: int) -> RawFrame:
    return RawFrame(Planes.of(np.zeros((96, 64), np.uint8)), at_ns, seq)


def test_blind_before_the_first_look() -> None:
    witness = Witness(PEOPLE)
    assert witness.judge(frame(0, 0)) == (Verdict.BLIND, [])
    assert witness.reason


def test_looked_at_frame_is_verified_and_its_successors_are_predicted_for_the_stated_time() -> None:
    witness = Witness(PEOPLE)
    witness.saw(5, SECOND_NS, FOUND)
    assert witness.judge(frame(5, SECOND_NS))[0] is Verdict.VERIFIED
    verdict, regions = witness.judge(frame(6, SECOND_NS + PEOPLE.predict_for_ns))
    assert verdict is Verdict.PREDICTED
    assert len(regions) == 1
    assert witness.judge(frame(7, SECOND_NS + PEOPLE.predict_for_ns + 1)) == (Verdict.BLIND, [])


def test_frame_before_the_first_look_stays_blind() -> None:
    witness = Witness(PEOPLE)
    witness.saw(5, SECOND_NS, [])
    assert witness.judge(frame(4, SECOND_NS - 1))[0] is Verdict.BLIND


def test_lost_detector_is_blind_at_once_even_for_verified_frames() -> None:
    witness = Witness(PEOPLE)
    witness.saw(5, SECOND_NS, FOUND)
    witness.lose("gone")
    assert witness.judge(frame(5, SECOND_NS)) == (Verdict.BLIND, [])
    assert witness.reason == "gone"
    assert witness.tracks == 0


def test_crowd_over_the_cap_is_blind() -> None:
    witness = Witness(PEOPLE)
    crowd = [Detection(Kind.FACE, Box(200.0 * i, 0, 50, 50), 0.9) for i in range(MAX_TRACKS + 1)]
    witness.saw(1, 0, crowd)
    assert witness.judge(frame(1, 0)) == (Verdict.BLIND, [])
    assert "more people" in witness.reason
