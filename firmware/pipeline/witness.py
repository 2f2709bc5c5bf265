"""What is known about the people in a frame: verdict and regions, from looks that came in time.

Every detector is a source of its own. A policy needs the sources that find what it hides; one of them missing
or late makes the frame blind, whatever the others saw.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firmware.core.frames import Detection, Judgement, Kind, Verdict
from firmware.core.policy import TIMING, Policy, Timing
from firmware.core.raw import RawFrame
from firmware.pipeline.tracker import REMEMBERED, Tracker

NO_LOOK = "no look at the scene yet"
OUT_OF_ORDER = "the camera's clock stood still or went back"


@dataclass(slots=True)
class Source:
    """One detector's looks, newest last, as (seq, captured_ns), and the tracks of what it saw."""

    finds: frozenset[Kind]
    tracker: Tracker
    lost: bool = False
    reason: str = NO_LOOK
    looks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def lose(self, reason: str) -> None:
        """Forget everything."""
        self.reason, self.lost = reason, True
        self.looks.clear()
        self.tracker.forget()

    def looked_at(self, seq: int) -> bool:
        """Tell whether it looked at this very frame."""
        return any(looked == seq for looked, _ in self.looks)

    def looked_since(self, at_ns: int) -> bool:
        """Tell whether a look at this moment or a later one is in."""
        return any(t >= at_ns for _, t in self.looks)

    def brackets(self, at_ns: int, within_ns: int) -> bool:
        """Tell whether looks before and after a moment are in, each within the stated time.

        The one before alone would miss who has just come in; the one after alone who has just left.
        """
        before = max((t for _, t in self.looks if t <= at_ns), default=None)
        after = min((t for _, t in self.looks if t >= at_ns), default=None)
        if before is None or after is None:
            return False
        return max(at_ns - before, after - at_ns) <= within_ns


class Witness:
    """Judges frames; blind until every source has looked, and again whenever one that is needed fails."""

    def __init__(
        self, policy: Policy, sources: Mapping[str, frozenset[Kind]], timing: Timing = TIMING
    ) -> None:
        self._timing = timing
        self._sources = {name: Source(finds, Tracker(timing)) for name, finds in sources.items()}
        self._judged_ns = 0
        self._verdict_reason = ""
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """Judge by another policy from the next frame on.

        What is tracked does not depend on the policy, so nobody has to be seen anew to be hidden.
        """
        self._policy = policy
        self._digest = policy.digest
        self._needed = [source for source in self._sources.values() if source.finds & policy.kinds]

    @property
    def reason(self) -> str:
        """Why the picture is blind; empty where it is not."""
        return next((source.reason for source in self._needed if source.reason), self._verdict_reason)

    def saw(self, source: str, seq: int, captured_ns: int, detections: Sequence[Detection]) -> None:
        """Take in one source's look at the frame `seq`.

        Its looks come in the order of their frames; where time or number does not rise, nothing that was seen
        can be placed, and the source is lost until its next look.
        """
        of = self._sources[source]
        if of.looks and (seq <= of.looks[-1][0] or captured_ns <= of.looks[-1][1]):
            of.lose(OUT_OF_ORDER)
            return
        of.reason, of.lost = "", False
        of.looks.append((seq, captured_ns))
        of.tracker.observe(captured_ns, detections, self._held_ns(of, captured_ns))

    def _held_ns(self, of: Source, now_ns: int) -> int:
        """Return how far back frames may still be judged by what was seen in them.

        The hold counts frames: at a few per second they are older than any fixed time.
        """
        oldest = max(self._judged_ns, of.looks[0][1])
        return max(self._timing.predict_for_ns, now_ns - oldest)

    def lose(self, source: str, reason: str) -> None:
        """Looking failed: nothing that was known from this source counts any more."""
        self._sources[source].lose(reason)

    def settled(self, frame: RawFrame) -> bool:
        """Tell whether waiting can add nothing to what is known about a frame."""
        if any(source.lost for source in self._needed):
            return True
        return bool(self._needed) and all(s.looked_since(frame.captured_ns) for s in self._needed)

    def judge(self, frame: RawFrame) -> Judgement:
        """Return the verdict on a frame and the regions to hide in it (none if blind: all is hidden)."""
        self._judged_ns = frame.captured_ns
        verdict, self._verdict_reason = self._verdict(frame)
        if verdict is Verdict.BLIND:
            return Judgement(verdict, (), self._digest)
        within = self._timing.predict_for_ns
        present = [one for s in self._needed for one in s.tracker.present(frame.captured_ns, within)]
        return Judgement(verdict, tuple(self._policy.covers(present)), self._digest)

    def _verdict(self, frame: RawFrame) -> tuple[Verdict, str]:
        if not self._needed:
            return Verdict.BLIND, "no detector finds what is to be hidden"
        if any(source.tracker.overflow for source in self._needed):
            return Verdict.BLIND, "more people than can be followed"
        if all(source.looked_at(frame.seq) for source in self._needed):
            return Verdict.VERIFIED, ""
        within = self._timing.predict_for_ns
        if all(s.looked_at(frame.seq) or s.brackets(frame.captured_ns, within) for s in self._needed):
            return Verdict.PREDICTED, ""
        looking = all(source.looks for source in self._needed)
        return Verdict.BLIND, "looks at the scene come too late" if looking else self._verdict_reason
