"""Carries boxes between looks: association, interpolation, prediction grown by uncertainty, coasting.

A track keeps its last few observations. For a frame between two of them both are covered; for a later
frame the last one is moved by its velocity and grown; for an earlier frame (held while the look was under
way) the first one is carried back, so that a person is hidden in the frames before the first sighting.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, interpolated, iou
from firmware.core.policy import SECOND_NS, Timing

REMEMBERED = 64
"""Looks a witness keeps and observations a track keeps: as many, or frames looked at would lose boxes."""
MAX_TRACKS = 192
"""More faces, heads and bodies than this in one picture cannot be followed: the pipeline goes blind."""

MIN_OVERLAP = 0.15
CERTAIN_OVERLAP = 0.4
"""Below this, who continues a track may be somebody else."""

NEAR = 0.6
"""Centres nearer than this share of the larger side belong together even without overlap."""

GROWTH_PER_S = 0.5
"""How much of its own size a box may have grown by, per second without an observation."""

BACK_SPEED = 2.5
"""Assumed speed before the first sighting, in box widths per second."""


@dataclass(slots=True)
class Track:
    """One person or face over time; observations are (captured_ns, box), oldest first."""

    kind: Kind
    seen: deque[tuple[int, Box]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def velocity(self) -> tuple[float, float]:
        """Return pixels per second of the centre, over about the last third of a second."""
        if len(self.seen) < 2:
            return 0.0, 0.0
        t1, last = self.seen[-1]
        t0, first = next((s for s in self.seen if t1 - s[0] <= SECOND_NS // 3), self.seen[-2])
        if t0 == t1:
            t0, first = self.seen[-2]
        seconds = (t1 - t0) / SECOND_NS
        (x0, y0), (x1, y1) = first.centre, last.centre
        return (x1 - x0) / seconds, (y1 - y0) / seconds

    def predicted(self, at_ns: int) -> Box:
        """Return where the box is expected at a time after the last observation."""
        t, box = self.seen[-1]
        seconds = (at_ns - t) / SECOND_NS
        vx, vy = self.velocity()
        return box.moved(vx * seconds, vy * seconds)

    def covers(self, at_ns: int, coast_ns: int, hold_ns: int) -> Box | None:
        """Return what the track may occupy at a time, or None where it says nothing about it."""
        first_ns, first = self.seen[0]
        last_ns, last = self.seen[-1]
        if at_ns > last_ns:
            return self._ahead(at_ns, last_ns, last) if at_ns - last_ns <= coast_ns else None
        if at_ns < first_ns:
            if first_ns - at_ns > hold_ns:
                return None
            seconds = (first_ns - at_ns) / SECOND_NS
            return first.padded(BACK_SPEED * seconds * first.w)
        return self._between(at_ns)

    def _ahead(self, at_ns: int, last_ns: int, last: Box) -> Box:
        seconds = (at_ns - last_ns) / SECOND_NS
        moved = self.predicted(at_ns)
        grown = moved.grown(1 + GROWTH_PER_S * seconds)
        # Whoever stopped or turned round is still where last seen.
        return grown.union(last)

    def _between(self, at_ns: int) -> Box:
        after_ns, after = self.seen[0]
        before_ns, before = after_ns, after
        for t, box in self.seen:
            after_ns, after = t, box
            if t >= at_ns:
                break
            before_ns, before = t, box
        if at_ns in (after_ns, before_ns):
            return after if at_ns == after_ns else before
        share = (at_ns - before_ns) / (after_ns - before_ns)
        return interpolated(before, after, share).union(before).union(after)


class Tracker:
    """Follows faces, heads and people from look to look."""

    def __init__(self, timing: Timing) -> None:
        self._coast_ns = timing.coast_ns
        self._tracks: list[Track] = []

    @property
    def overflow(self) -> bool:
        """Whether there are more tracks than can be followed."""
        return len(self._tracks) > MAX_TRACKS

    def __len__(self) -> int:
        return len(self._tracks)

    def forget(self) -> None:
        """Drop every track: nothing is known any more."""
        self._tracks.clear()

    def observe(self, at_ns: int, detections: Sequence[Detection], held_ns: int) -> None:
        """Take in one look at the frame captured at `at_ns`; `held_ns` is how far back frames are held."""
        self._let_go(at_ns - held_ns)
        free = list(self._tracks)
        for detection in sorted(detections, key=lambda d: -d.score):
            track = self._match(detection, at_ns, free)
            if track is None:
                track = Track(detection.kind)
                self._tracks.append(track)
            else:
                free.remove(track)
                self._keep_doubtful(track, detection.box, at_ns)
            track.seen.append((at_ns, detection.box))

    def _keep_doubtful(self, track: Track, box: Box, at_ns: int) -> None:
        """Let a copy of a track coast where what continues it may be somebody else who came near."""
        if max(iou(box, track.predicted(at_ns)), iou(box, track.seen[-1][1])) < CERTAIN_OVERLAP:
            self._tracks.append(replace(track, seen=track.seen.copy()))

    def present(self, at_ns: int, hold_ns: int) -> list[tuple[Kind, Box]]:
        """Return what may be in the frame captured at `at_ns`, and where."""
        boxes = [(track.kind, track.covers(at_ns, self._coast_ns, hold_ns)) for track in self._tracks]
        return [(kind, box) for kind, box in boxes if box is not None]

    def _let_go(self, oldest_needed_ns: int) -> None:
        limit = oldest_needed_ns - self._coast_ns
        self._tracks = [track for track in self._tracks if track.seen[-1][0] >= limit]

    def _match(self, detection: Detection, at_ns: int, free: Sequence[Track]) -> Track | None:
        best, best_score = None, 0.0
        for track in free:
            if track.kind is not detection.kind or at_ns - track.seen[-1][0] > self._coast_ns:
                continue
            score = _affinity(detection.box, track.predicted(at_ns), track.seen[-1][1])
            if score > best_score:
                best, best_score = track, score
        return best


def _affinity(box: Box, expected: Box, last: Box) -> float:
    """Return how well a detection fits a track: overlap, else nearness below it; 0 for no match."""
    overlap = max(iou(box, expected), iou(box, last))
    if overlap >= MIN_OVERLAP:
        return 1 + overlap
    (x0, y0), (x1, y1) = box.centre, expected.centre
    distance = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    reach = NEAR * max(expected.w, expected.h, box.w, box.h)
    return max(0.0, 1 - distance / reach) if reach > 0 else 0.0
