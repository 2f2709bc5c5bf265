"""What is known about the people in a frame: verdict and regions, from looks that came in time."""

from collections import deque
from collections.abc import Sequence

from firmware.core.frames import Detection, Region, Verdict
from firmware.core.policy import Policy
from firmware.core.raw import RawFrame
from firmware.pipeline.track import Tracker

REMEMBERED = 64
"""Looks kept: more than the hold and the time of prediction can ask for."""


class Witness:
    """Judges frames; blind until a first look has come, and again whenever looking fails."""

    def __init__(self, policy: Policy) -> None:
        self.reason = "no look at the scene yet"
        self._policy = policy
        self._tracker = Tracker(policy)
        self._looks: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)

    @property
    def tracks(self) -> int:
        """How many people and faces are being followed."""
        return len(self._tracker)

    def saw(self, seq: int, captured_ns: int, detections: Sequence[Detection]) -> None:
        """Take in a look at the frame `seq`; looks come in the order of their frames."""
        self.reason = ""
        self._looks.append((seq, captured_ns))
        self._tracker.observe(captured_ns, detections, self._policy.predict_for_ns)

    def lose(self, reason: str) -> None:
        """Looking failed: nothing that was known counts any more."""
        self.reason = reason
        self._looks.clear()
        self._tracker.forget()

    def judge(self, frame: RawFrame) -> tuple[Verdict, list[Region]]:
        """Return the verdict on a frame and the regions to hide in it (none if blind: all is hidden)."""
        verdict = self._verdict(frame)
        if verdict is Verdict.BLIND:
            return verdict, []
        return verdict, list(self._tracker.covers(frame.captured_ns, self._policy.predict_for_ns))

    def _verdict(self, frame: RawFrame) -> Verdict:
        if self._tracker.overflow:
            self.reason = "more people than can be followed"
            return Verdict.BLIND
        if any(seq == frame.seq for seq, _ in self._looks):
            return Verdict.VERIFIED
        # A look at a later frame is no witness for an earlier one: someone may have left in between.
        before = max((t for _, t in self._looks if t <= frame.captured_ns), default=None)
        if before is None or frame.captured_ns - before > self._policy.predict_for_ns:
            if self._looks:
                self.reason = "the last look at the scene is too old"
            return Verdict.BLIND
        return Verdict.PREDICTED
