"""Hides people in what was recorded: a first pass looks, a second one masks; no clip is held in memory.

    frames ─▶ look (every frame, or as live) ─▶ fill over time ─▶ plan: verdict and regions of each frame
    frames ─▶ mask by the plan ─▶ writer

Whatever the second pass meets that the first has not seen is hidden whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from firmware.config.profile import LookProfile
from firmware.core.frames import Detection, Judgement, Kind, RedactedFrame, Verdict
from firmware.core.policy import SECOND_NS, TIMING, Policy, Present
from firmware.core.raw import RawFrame
from firmware.pipeline.hold import Hold
from firmware.pipeline.mask import Masker, on_even_pixels
from firmware.pipeline.view import Cutter
from firmware.pipeline.view import look as look_live
from firmware.pipeline.witness import Witness
from firmware.ports import Detector
from firmware.redact.look import Eye, look
from firmware.redact.tracks import filled

LIVE_LOOKS_PER_S = LookProfile().rate_hz
"""As often as a camera looks whose board says nothing else."""

BLIND = Judgement(Verdict.BLIND)
Plan = Sequence[Judgement]
Planner = Callable[[Iterable[RawFrame], Policy], Plan]
"""From the frames of a clip or a picture and a policy to what to hide in each of them."""


def thorough(eyes: Sequence[Eye]) -> Planner:
    """Return a planner that takes every look at every frame and then looks both ways in time."""

    def plan(frames: Iterable[RawFrame], policy: Policy) -> Plan:
        times: list[int] = []
        looks: list[list[Detection]] = []
        size = (0, 0)
        for frame in _leased(frames):
            times.append(frame.captured_ns)
            looks.append(look(frame, eyes))
            size = (frame.planes.width, frame.planes.height)
        return [_judged(found, policy, *size) for found in filled(times, looks)]

    return plan


def as_live(detectors: Sequence[Detector]) -> Planner:
    """Return a planner that looks as often and as small as a live camera does, and at the last frame."""

    def plan(frames: Iterable[RawFrame], policy: Policy) -> Plan:
        witness = Witness(policy, {str(n): frozenset(Kind) for n in range(len(detectors))})
        hold = Hold(TIMING.hold_frames, TIMING.hold_limit)
        judged: list[Judgement] = []
        due: int | None = None
        last: RawFrame | None = None
        for frame in frames:
            if due is None or frame.captured_ns >= due:
                due = frame.captured_ns + round(SECOND_NS / LIVE_LOOKS_PER_S)
                _look(frame, detectors, witness)
            last = frame
            judged += [_witnessed(witness, held) for held in hold.push(frame, witness.settled)]
        if last is not None and not witness.settled(last):
            _look(last, detectors, witness)
        return judged + [_witnessed(witness, held) for held in hold.drain()]

    return plan


def redacted(frames: Iterable[RawFrame], plan: Plan) -> Iterator[RedactedFrame]:
    """Mask every frame by the plan."""
    masker = Masker()
    for index, frame in enumerate(_leased(frames)):
        judgement = plan[index] if index < len(plan) else BLIND
        yield masker.mask(frame, judgement.regions, judgement.verdict)


def _leased(frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
    for frame in frames:
        try:
            yield frame
        finally:
            frame.release()


def _judged(found: Sequence[Detection], policy: Policy, width: int, height: int) -> Judgement:
    parts = policy.parts(width)
    covers = policy.covers([Present(one.kind, one.box, parts[one.kind](one.box)) for one in found])
    boxes = (on_even_pixels(box, width, height) for box in covers)
    return Judgement(Verdict.VERIFIED, tuple(dict.fromkeys(box for box in boxes if box.area > 0)))


def _look(frame: RawFrame, detectors: Sequence[Detector], witness: Witness) -> None:
    cutter = Cutter()
    for n, detector in enumerate(detectors):
        witness.saw(str(n), frame.moment, look_live(detector, cutter.cut(frame, detector)))


def _witnessed(witness: Witness, frame: RawFrame) -> Judgement:
    try:
        return witness.judge(frame)
    finally:
        frame.release()
