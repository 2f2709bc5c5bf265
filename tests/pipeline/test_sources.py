"""Several detectors, each a source of its own: rates, failures and stalls of one do not touch the others."""

import threading
from dataclasses import replace

import pytest

from firmware.core.frames import Kind, Verdict
from firmware.core.policy import PEOPLE
from firmware.core.raw import DetectorPicture
from firmware.pipeline.detect import FAILED, LATE
from tests.pipeline.doubles import NumberedCamera, ToldDetector
from tests.pipeline.rig import LOOK, Rig

FACE_ALONE = replace(PEOPLE, name="faces alone", kinds=frozenset({Kind.FACE}))
SLOW = replace(LOOK, rate_hz=12.5)


def rig(policy_needs_both: bool) -> tuple[Rig, ToldDetector]:
    """A quick detector of faces and a slow one of people, and the policy that needs both or faces alone."""
    slow = ToldDetector()
    others = {"slow": (slow, SLOW, frozenset({Kind.PERSON}))}
    policy = PEOPLE if policy_needs_both else FACE_ALONE
    made = Rig(ToldDetector(), NumberedCamera(), policy=policy, others=others)
    return made, slow


def fail(picture: DetectorPicture) -> None:
    raise ValueError("made to fail")


async def test_each_detector_has_its_own_rate() -> None:
    made, _ = rig(policy_needs_both=True)
    async with made.running():
        await made.until(lambda: made.detects["slow"].looks >= 10)
        quick, slow = made.detects["one"].looks, made.detects["slow"].looks
    assert quick > 2 * slow
    assert made.verdicts[Verdict.VERIFIED] <= slow + 1, "both have to look at a frame for it to be verified"
    assert made.verdicts[Verdict.PREDICTED] > 0
    assert made.clear_frames() == []


@pytest.mark.parametrize("how", ["fails", "stalls"])
@pytest.mark.parametrize("lost", ["one", "slow"])
@pytest.mark.parametrize("needs_both", [True, False])
async def test_a_lost_detector_is_reopened_alone_and_blinds_who_needs_it(
    how: str, lost: str, needs_both: bool
) -> None:
    made, slow = rig(needs_both)
    detectors = {"one": made.detector, "slow": slow}
    go_on = threading.Event()
    needed = needs_both or lost == "one"
    (kept,) = detectors.keys() - {lost}
    async with made.running():
        await made.until(lambda: made.last(Verdict.VERIFIED))
        detectors[lost].before = fail if how == "fails" else lambda picture: go_on.wait(10) and None
        if needed:
            await made.until(lambda: made.flow.report().reason == (FAILED if how == "fails" else LATE))
            await made.until(lambda: made.last(Verdict.BLIND))
        else:
            await made.until(lambda: made.detects[lost].restarted > 0 or how == "stalls")
        since, looks = len(made.told), made.detects[kept].looks
        await made.until(lambda: len(made.told) > since + 60)
        blind = {told.judgement.verdict is Verdict.BLIND for told in made.told[since:]}
        assert blind == {needed}
        assert made.detects[kept].looks > looks, "the other one goes on looking"
        detectors[lost].before = lambda picture: None
        go_on.set()
        await made.until(lambda: made.last(Verdict.VERIFIED))
    assert detectors[kept].opened == 1
    assert (detectors[lost].opened > 1) == (how == "fails")
    assert made.clear_frames() == []


async def test_a_policy_that_no_detector_serves_is_blind() -> None:
    heads = replace(PEOPLE, kinds=frozenset({Kind.HEAD}))
    made = Rig(ToldDetector(), NumberedCamera(), policy=heads, others={}, finds=frozenset({Kind.FACE}))
    async with made.running():
        await made.until(lambda: len(made.told) > 20)
    assert set(made.verdicts) == {Verdict.BLIND}
    assert "no detector" in made.flow.report().reason
