"""Carries boxes between looks: association, interpolation, reach grown by uncertainty, coasting.

A track keeps its last few observations. For a frame between two of them both are covered and what lies
between; for a frame outside them everything that can be reached since the last or before the first one. Who
was seen once may go anywhere; who was seen moving goes on, turns round or stops, and nobody changes pace at
once.

Trackers do not change: a look makes a new one, in whatever thread, while the last one is still asked.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, interpolated, iou
from firmware.core.policy import SECOND_NS, Part, Present, Timing, whole

Floats: TypeAlias = npt.NDArray[np.float64]
Seen: TypeAlias = tuple[int, Box]
"""An observation: when (captured_ns) and where."""

REMEMBERED = 64
"""Looks a witness keeps and observations a track keeps: as many, or frames looked at would lose boxes."""
MAX_TRACKS = 192
"""More faces, heads and bodies than this in one picture cannot be followed: the pipeline goes blind."""

MIN_OVERLAP = 0.15
CERTAIN_OVERLAP = 0.4
"""Below this, who continues a track may be somebody else."""

NEAR = 0.6
"""Centres nearer than this share of the larger side belong together even without overlap."""

SPEED = 2.5
"""Speed of who was seen but once, in widths of the box per second, in every direction: a walk of 1.4 m/s."""

CHANGE = 4.0
"""How fast a speed changes, in widths per second and second: who stands walks within two thirds of one."""

UPRIGHT = 0.5
"""How far people go up and down, as a share of how far they go to the sides: nobody sits down faster."""

REACH_NS = SECOND_NS * 6 // 10
"""Time over which reach grows: five looks missed in a row. Whoever is gone for longer is covered as far."""

JITTER = 0.05
"""How far boxes of somebody who stands still lie apart from look to look, in widths."""

PACE_NS = SECOND_NS // 3
"""Time over which a speed is taken."""


@dataclass(frozen=True, slots=True)
class Track:
    """One face, head or body over time; observations are oldest first."""

    kind: Kind
    seen: tuple[Seen, ...]

    def with_one_more(self, seen: Seen) -> "Track":
        """Return the track with one more observation."""
        return Track(self.kind, (*self.seen, seen)[-REMEMBERED:])

    def velocity(self, last: int = -1) -> tuple[float, float]:
        """Return pixels per second of the centre, over the third of a second before an observation."""
        if len(self.seen) < 2:
            return 0.0, 0.0
        first = self._pace_from(last)
        seconds = max(1, self.seen[last][0] - self.seen[first][0]) / SECOND_NS
        (x0, y0), (x1, y1) = self.seen[first][1].centre, self.seen[last][1].centre
        return (x1 - x0) / seconds, (y1 - y0) / seconds

    def _pace_from(self, last: int) -> int:
        """Return the observation from which the speed at another is taken: one before it, if there is any."""
        end = len(self.seen) + last if last < 0 else last
        since = bisect_left(self.seen, self.seen[end][0] - PACE_NS, key=lambda seen: seen[0])
        return max(0, min(since, end - 1))

    def _speed(self) -> float:
        """Return the greater of the last two speeds: who turns round is slow for a while."""
        return max(math.hypot(*self.velocity()), math.hypot(*self.velocity(self._pace_from(-1))))

    def predicted(self, at_ns: int) -> Box:
        """Return where the box is expected at a time after the last observation."""
        at, box = self.seen[-1]
        seconds = (at_ns - at) / SECOND_NS
        vx, vy = self.velocity()
        return box.moved(vx * seconds, vy * seconds)

    def covers(self, at_ns: int, coast_ns: int, hold_ns: int, part: Part) -> Box | None:
        """Return what the track's part may occupy at a time, or None where it says nothing about it."""
        first_ns, last_ns = self.seen[0][0], self.seen[-1][0]
        if at_ns > last_ns:
            return self._ahead(at_ns, part) if at_ns - last_ns <= coast_ns else None
        if at_ns < first_ns:
            return self._back(at_ns, part) if first_ns - at_ns <= hold_ns else None
        return self._between(at_ns, part)

    def _back(self, at_ns: int, part: Part) -> Box:
        first_ns, first = self.seen[0]
        return _spread(part(first), SPEED * first.w * (first_ns - at_ns) / SECOND_NS)

    def _ahead(self, at_ns: int, part: Part) -> Box:
        last_ns, last = self.seen[-1]
        seconds = min(at_ns - last_ns, REACH_NS) / SECOND_NS
        anywhere = SPEED * last.w * seconds
        if len(self.seen) < 2:
            return _spread(part(last), anywhere)
        vx, vy = self.velocity()
        base = (last_ns - self.seen[self._pace_from(-1)][0]) / SECOND_NS
        doubt = last.w * (JITTER / base * seconds + CHANGE * seconds**2 / 2)
        turned = self._speed() * seconds + doubt
        on = _spread(part(last).moved(vx * seconds, vy * seconds), min(anywhere, doubt))
        return on.union(_spread(part(last), min(anywhere, turned)))

    def _between(self, at_ns: int, part: Part) -> Box:
        index = bisect_left(self.seen, at_ns, key=lambda seen: seen[0])
        after_ns, after = self.seen[index]
        if after_ns == at_ns:
            return part(after)
        before_ns, before = self.seen[index - 1]
        share = (at_ns - before_ns) / (after_ns - before_ns)
        away = min(at_ns - before_ns, after_ns - at_ns) / SECOND_NS
        way = interpolated(part(before), part(after), share).union(part(before)).union(part(after))
        return _spread(way, max(before.w, after.w) * CHANGE * away**2 / 2)


@dataclass(frozen=True, slots=True)
class Tracker:
    """Follows faces, heads and people from look to look; `overflow` says that they were too many."""

    timing: Timing
    tracks: tuple[Track, ...] = ()
    overflow: bool = field(default=False)

    def __len__(self) -> int:
        return len(self.tracks)

    def observed(self, at_ns: int, detections: Sequence[Detection], held_ns: int) -> "Tracker":
        """Return the tracker after a look at the frame captured at `at_ns`.

        `held_ns` is how far back frames are held. Over the cap nobody is followed at all: the cost of a look
        is bounded before anything is compared.
        """
        limit = at_ns - held_ns - self.timing.coast_ns
        kept = [track for track in self.tracks if track.seen[-1][0] >= limit]
        if len(detections) > MAX_TRACKS:
            return Tracker(self.timing, overflow=True)
        ordered = sorted(detections, key=lambda detection: -detection.score)
        continued = _matches(ordered, kept, at_ns, self.timing.coast_ns)
        doubtful = []
        for detection, index in zip(ordered, continued, strict=True):
            if index is None:
                kept.append(Track(detection.kind, ((at_ns, detection.box),)))
                continue
            if _is_doubtful(kept[index], detection.box, at_ns):
                # Whoever continues it may be somebody else who came near: a copy coasts.
                doubtful.append(kept[index])
            kept[index] = kept[index].with_one_more((at_ns, detection.box))
        tracks = (*kept, *doubtful)
        if len(tracks) > MAX_TRACKS:
            return Tracker(self.timing, overflow=True)
        return Tracker(self.timing, tracks)

    def present(self, at_ns: int, hold_ns: int, parts: Mapping[Kind, Part]) -> list[Present]:
        """Return what may be in the frame captured at `at_ns`; `parts` is what of each kind is asked for."""
        found = []
        for track in self.tracks:
            box = track.covers(at_ns, self.timing.coast_ns, hold_ns, whole)
            if box is not None:
                part = parts[track.kind]
                asked = box if part is whole else track.covers(at_ns, self.timing.coast_ns, hold_ns, part)
                found.append(Present(track.kind, box, asked or box))
        return found


def _spread(box: Box, by: float) -> Box:
    return box.padded(by, by * UPRIGHT)


def _is_doubtful(track: Track, box: Box, at_ns: int) -> bool:
    return max(iou(box, track.predicted(at_ns)), iou(box, track.seen[-1][1])) < CERTAIN_OVERLAP


def _matches(
    detections: Sequence[Detection], tracks: Sequence[Track], at_ns: int, coast_ns: int
) -> list[int | None]:
    """Return for each detection the track it continues; the first ones choose first."""
    if not tracks or not detections:
        return [None] * len(detections)
    boxes = _rows([detection.box for detection in detections])
    fits = _affinity(
        boxes,
        _rows([track.predicted(at_ns) for track in tracks]),
        _rows([track.seen[-1][1] for track in tracks]),
    )
    kinds = np.array([detection.kind for detection in detections])
    fits[kinds[:, None] != np.array([track.kind for track in tracks])[None]] = 0
    fits[:, np.array([at_ns - track.seen[-1][0] > coast_ns for track in tracks])] = 0
    chosen: list[int | None] = []
    for row in fits:
        best = int(row.argmax())
        if row[best] > 0:
            chosen.append(best)
            fits[:, best] = 0
        else:
            chosen.append(None)
    return chosen


def _rows(boxes: Sequence[Box]) -> Floats:
    return np.array([(box.x, box.y, box.w, box.h) for box in boxes], np.float64)


def _affinity(boxes: Floats, expected: Floats, last: Floats) -> Floats:
    """Return (n, m) how well each box fits each track: overlap, else nearness below it; 0 for no match."""
    overlap = np.maximum(_overlaps(boxes, expected), _overlaps(boxes, last))
    apart = (boxes[:, None, :2] + boxes[:, None, 2:] / 2) - (
        expected[None, :, :2] + expected[None, :, 2:] / 2
    )
    side = np.maximum(boxes[:, 2:].max(axis=1)[:, None], expected[:, 2:].max(axis=1)[None])
    reach = np.maximum(NEAR * side, 1e-9)
    near = np.maximum(0.0, 1 - np.hypot(apart[..., 0], apart[..., 1]) / reach)
    return np.asarray(np.where(overlap >= MIN_OVERLAP, 1 + overlap, near))


def _overlaps(some: Floats, others: Floats) -> Floats:
    """Return (n, m) intersection over union of boxes (n, 4) with boxes (m, 4), all x, y, w, h."""
    one, two = some[:, None], others[None]
    span = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:]) - np.maximum(
        one[..., :2], two[..., :2]
    )
    shared = np.clip(span, 0, None).prod(axis=-1)
    total = one[..., 2:].prod(axis=-1) + two[..., 2:].prod(axis=-1) - shared
    return np.asarray(shared / np.maximum(total, 1e-9))
