"""What is known about the people in a frame: verdict and regions, from looks that came in time."""

from collections import deque
from collections.abc import Sequence

from firmware.core.frames import Detection, Region, Verdict
from firmware.core.policy import Policy
from firmware.core.raw import RawFrame
from firmware.pipeline.track import REMEMBERED, Tracker


class Witness:
    """Judges frames; blind until a first look has come, and again whenever looking fails."""

    def __init__(self, policy: Policy) -> None:
        self.reason = "no look at the scene yet"
        self._lost = False
        self._policy = policy
        self._tracker = Tracker(policy)
        self._looks: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._judged_ns = 0

    def saw(self, seq: int, captured_ns: int, detections: Sequence[Detection]) -> None:
        """Take in a look at the frame `seq`; looks come in the order of their frames."""
        self.reason = ""
        self._lost = False
        self._looks.append((seq, captured_ns))
        self._tracker.observe(captured_ns, detections, self._held_ns(captured_ns))

    def _held_ns(self, now_ns: int) -> int:
        """Return how far back frames may still be judged by what was seen in them.

        The hold counts frames: at a few per second they are older than any fixed time.
        """
        oldest = max(self._judged_ns, self._looks[0][1])
        return max(self._policy.predict_for_ns, now_ns - oldest)

    def lose(self, reason: str) -> None:
        """Looking failed: nothing that was known counts any more."""
        self.reason = reason
        self._lost = True
        self._looks.clear()
        self._tracker.forget()

    def settled(self, frame: RawFrame) -> bool:
        """Tell whether waiting can add nothing to what is known about a frame."""
        return self._lost or any(t >= frame.captured_ns for _, t in self._looks)

    def judge(self, frame: RawFrame) -> tuple[Verdict, list[Region]]:
        """Return the verdict on a frame and the regions to hide in it (none if blind: all is hidden)."""
        self._judged_ns = frame.captured_ns
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
        if self._is_bracketed(frame.captured_ns):
            return Verdict.PREDICTED
        if self._looks:
            self.reason = "looks at the scene come too late"
        return Verdict.BLIND

    def _is_bracketed(self, at_ns: int) -> bool:
        """Tell whether looks before and after a moment are in, each within the stated time.

        The one before alone would miss who has just come in; the one after alone who has just left.
        """
        before = max((t for _, t in self._looks if t <= at_ns), default=None)
        after = min((t for _, t in self._looks if t >= at_ns), default=None)
        if before is None or after is None:
            return False
        return max(at_ns - before, after - at_ns) <= self._policy.predict_for_ns
