"""What is known about the people in a frame: verdict and regions, from looks that came in time.

Every detector is a source of its own. A policy needs the sources that find what it hides; one of them missing
or late makes the frame blind, whatever the others saw.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from firmware.core.frames import Detection, Judgement, Kind, Verdict
from firmware.core.moment import Moment
from firmware.core.policy import TIMING, Policy, Timing
from firmware.core.raw import RawFrame
from firmware.pipeline.tracker import MAX_TRACKS, REMEMBERED, Tracker

logger = logging.getLogger(__name__)

NO_LOOK = "no look at the scene yet"
OUT_OF_ORDER = "the camera's clock stood still or went back"
NO_TIME = "the camera's clock contradicts the arrival of its frames"
DAMAGED = "the camera's pictures arrive damaged"
TOO_MANY = "more people than can be followed"
OVERTAKEN = "a detector's answer came after it had been given up"
NONSENSE = "a detector's answer makes no sense"

COUNTED = (Kind.PERSON, Kind.HEAD, Kind.FACE)
"""By which people are counted: the first that any source finds."""

FURTHEST = 2.0**17
"""Pixels from the picture's corner beyond which nothing can be; the largest picture is 7680 wide."""


@dataclass(slots=True)
class Source:
    """One detector's looks, newest last, all of one timeline, and the tracks of what it saw."""

    finds: frozenset[Kind]
    tracker: Tracker
    lost: bool = False
    reason: str = NO_LOOK
    looks: deque[Moment] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def lose(self, reason: str) -> None:
        """Forget everything."""
        self.reason, self.lost = reason, True
        self.looks.clear()
        self.tracker = Tracker(self.tracker.timing)

    def looked_at(self, frame: Moment) -> bool:
        """Tell whether it looked at this very frame."""
        return frame in self.looks

    def looked_since(self, frame: Moment) -> bool:
        """Tell whether a look at this frame or a later one is in."""
        return bool(self.looks) and _order(self.looks[-1]) >= _order(frame)

    def brackets(self, frame: Moment, within_ns: int) -> bool:
        """Tell whether looks before and after a frame are in, each within the stated time.

        The one before alone would miss who has just come in; the one after alone who has just left.
        """
        before = next((look for look in reversed(self.looks) if look.captured_ns <= frame.captured_ns), None)
        after = next((look for look in self.looks if look.captured_ns >= frame.captured_ns), None)
        if before is None or after is None:
            return False
        return frame.within(within_ns, before) and frame.within(within_ns, after)


@dataclass(frozen=True, slots=True)
class Followed:
    """One source's look and what it makes of the tracks, or why it is refused."""

    source: Source
    before: Tracker
    moment: Moment
    refused: str
    leaped: bool = False
    """Whether the look is of another timeline than those before."""
    after: Tracker = field(default=Tracker(TIMING))


Follows: TypeAlias = Callable[[Kind, Moment, Tracker], None]
"""Is told of a look's kind, moment and tracks, on the loop; must not wait."""


class Witness:
    """Judges frames; blind until every source has looked, and again whenever one that is needed fails."""

    def __init__(
        self, policy: Policy, sources: Mapping[str, frozenset[Kind]], timing: Timing = TIMING
    ) -> None:
        self._timing = timing
        self._sources = {name: Source(finds, Tracker(timing)) for name, finds in sources.items()}
        self._judged: Moment | None = None
        self._verdict_reason = ""
        self._counted: tuple[Source, Kind, Follows] | None = None
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """Judge by another policy from the next frame on.

        What is tracked does not depend on the policy, so nobody has to be seen anew to be hidden.
        """
        self._policy = policy
        self._digest = policy.digest
        self._needed = [source for source in self._sources.values() if source.finds & policy.kinds]

    def watch(self, told: Follows) -> None:
        """Have somebody told of the people that a source follows; of heads or faces where none finds them."""
        wanted = ((source, kind) for kind in COUNTED for source in self._sources.values())
        self._counted = next(((source, kind, told) for source, kind in wanted if kind in source.finds), None)

    @property
    def reason(self) -> str:
        """Why the picture is blind; empty where it is not. A damaged one needs no other reason."""
        if self._verdict_reason == DAMAGED:
            return DAMAGED
        return next((source.reason for source in self._needed if source.reason), self._verdict_reason)

    def saw(self, source: str, moment: Moment, detections: Sequence[Detection]) -> None:
        """Take in one source's look at the frame of that moment, as `followed` and `take` do."""
        self.take(self.followed(source, moment, detections))

    def followed(self, source: str, moment: Moment, detections: Sequence[Detection]) -> "Followed":
        """Return what one source's look at a frame makes of its tracks; may run in any thread.

        Its looks come in the order of their frames; where time or number does not rise, or an answer makes no
        sense, nothing that was seen counts, and the source is lost until its next look.
        """
        of = self._sources[source]
        if refused := _refused(of, moment, detections):
            return Followed(of, of.tracker, moment, refused)
        leaped = bool(of.looks) and moment.timeline != of.looks[-1].timeline
        before = Tracker(self._timing) if leaped else of.tracker
        after = before.observed(moment.captured_ns, detections, self._held_ns(of, moment.captured_ns))
        return Followed(of, of.tracker, moment, "", leaped, after)

    def take(self, look: "Followed") -> None:
        """Take in a look that was followed; what became of its source meanwhile goes before."""
        of = look.source
        if look.refused or of.tracker is not look.before:
            of.lose(look.refused or OVERTAKEN)
            return
        if look.after.overflow:
            if of.reason != TOO_MANY:
                logger.warning(
                    "%s at a time are more than can be followed: the picture is hidden", MAX_TRACKS
                )
            # What was seen is forgotten, so frames it was seen in must not count as looked at.
            of.lose(TOO_MANY)
            return
        if look.leaped:
            of.looks.clear()
        of.reason, of.lost, of.tracker = "", False, look.after
        of.looks.append(look.moment)
        if self._counted is not None and self._counted[0] is of:
            _, kind, told = self._counted
            told(kind, look.moment, of.tracker)

    def _held_ns(self, of: Source, now_ns: int) -> int:
        """Return how far back frames may still be judged by what was seen in them.

        The hold counts frames: at a few per second they are older than any fixed time.
        """
        judged_ns = self._judged.captured_ns if self._judged else 0
        oldest = max(judged_ns, of.looks[0].captured_ns if of.looks else now_ns)
        return max(self._timing.predict_for_ns, now_ns - oldest)

    def lose(self, source: str, reason: str) -> None:
        """Looking failed: nothing that was known from this source counts any more."""
        self._sources[source].lose(reason)

    def settled(self, frame: RawFrame) -> bool:
        """Tell whether waiting can add nothing to what is known about a frame."""
        if frame.timeline is None or any(source.lost for source in self._needed):
            return True
        return bool(self._needed) and all(s.looked_since(frame.moment) for s in self._needed)

    def judge(self, frame: RawFrame) -> Judgement:
        """Return the verdict on a frame and the regions to hide in it (none if blind: all is hidden).

        Frames come in their order, each once: one that does not is of no known time.
        """
        moment = frame.moment
        blind = (Verdict.BLIND, DAMAGED)
        verdict, self._verdict_reason = blind if frame.damaged else self._verdict(moment)
        self._judged = moment
        if verdict is Verdict.BLIND:
            return Judgement(verdict, (), self._digest)
        within = self._timing.predict_for_ns
        parts = self._policy.parts(frame.planes.width)
        present = [one for s in self._needed for one in s.tracker.present(moment.captured_ns, within, parts)]
        return Judgement(verdict, tuple(self._policy.covers(present)), self._digest)

    def _verdict(self, frame: Moment) -> tuple[Verdict, str]:
        if reason := self._unknowable(frame):
            return Verdict.BLIND, reason
        if all(source.looked_at(frame) for source in self._needed):
            return Verdict.VERIFIED, ""
        within = self._timing.predict_for_ns
        if all(s.looked_at(frame) or s.brackets(frame, within) for s in self._needed):
            return Verdict.PREDICTED, ""
        looking = all(source.looks for source in self._needed)
        return Verdict.BLIND, "looks at the scene come too late" if looking else self._verdict_reason

    def _unknowable(self, frame: Moment) -> str:
        """Return why no look could tell anything about a frame; empty where one could."""
        if not self._needed:
            return "no detector finds what is to be hidden"
        if frame.timeline is None:
            return NO_TIME
        if self._judged is not None and not frame.after(self._judged):
            return OUT_OF_ORDER
        return ""


def _order(moment: Moment) -> tuple[int, int]:
    return (-1 if moment.timeline is None else moment.timeline, moment.captured_ns)


def _refused(of: Source, moment: Moment, detections: Sequence[Detection]) -> str:
    """Return why a look cannot be taken in; empty where it can."""
    if moment.timeline is None:
        return NO_TIME
    if of.looks and moment.timeline == of.looks[-1].timeline and not moment.after(of.looks[-1]):
        return OUT_OF_ORDER
    return "" if all(map(_possible, detections)) else NONSENSE


def _possible(found: Detection) -> bool:
    """Tell whether a detection can be in any picture; no comparison with a NaN is true."""
    box = found.box
    return (
        0 <= found.score <= 1
        and 0 <= box.w <= FURTHEST
        and 0 <= box.h <= FURTHEST
        and -FURTHEST <= box.x <= FURTHEST
        and -FURTHEST <= box.y <= FURTHEST
    )
