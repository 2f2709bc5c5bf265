"""Links what was seen in a clip's frames and fills the frames in between; a clip can be looked at both ways.

A detector that misses a face for one frame would show it. Detections of one face or person are joined to a
track; gaps up to a stated time are filled on the straight way between both sides, and every one is carried
on for a few frames before its first sighting and after its last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware.core.frames import Detection, Kind
from firmware.core.geometry import Box, interpolated, iou
from firmware.core.policy import SECOND_NS

GAP_NS = SECOND_NS
"""The longest time without a detection that is filled."""

CARRY_NS = SECOND_NS // 4
"""How long a track goes on before its first and after its last detection."""

CARRIED_SIGHTINGS = 3
CARRIED_SCORE = 0.5
"""A path of so many sightings, or with one so sure, is carried on; a flicker is not."""

MIN_OVERLAP = 0.2
NEAR = 0.5
"""Centres nearer than this share of the larger box's size belong together even without overlap."""

SPEED = 1.2
"""How many of its own sizes somebody may move per second out of sight."""

SLACK_PER_S = 1.0
"""How much a filled box is grown, as a share of its size per second away from a detection."""


@dataclass(slots=True)
class Sighting:
    """One detection of a track: index of the frame, box, score."""

    frame: int
    found: Detection


@dataclass(slots=True)
class Path:
    """One face or person through the clip, sightings in order of frames."""

    kind: Kind
    seen: list[Sighting] = field(default_factory=list)

    @property
    def is_carried(self) -> bool:
        """Whether there is reason enough to believe that it began earlier and ended later."""
        return len(self.seen) >= CARRIED_SIGHTINGS or any(s.found.score >= CARRIED_SCORE for s in self.seen)


def filled(times_ns: Sequence[int], looks: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """Return what was seen in each frame together with what must have been there.

    `times_ns` are the frames' times, rising; `looks` what was seen in each frame.
    """
    out = [list(found) for found in looks]
    for path in linked(times_ns, looks):
        for before, after in zip(path.seen, path.seen[1:], strict=False):
            _bridge(times_ns, before, after, out)
        if path.is_carried:
            _carry(times_ns, path, out, step=-1)
            _carry(times_ns, path, out, step=1)
    return out


def linked(times_ns: Sequence[int], looks: Sequence[Sequence[Detection]]) -> list[Path]:
    """Join the detections of all frames to paths, the best match first."""
    paths: list[Path] = []
    alive: list[Path] = []
    for frame, found in enumerate(looks):
        alive = [path for path in alive if times_ns[frame] - times_ns[path.seen[-1].frame] <= GAP_NS]
        begun = _extended(times_ns, alive, frame, found)
        alive += begun
        paths += begun
    return paths


def _extended(
    times_ns: Sequence[int], alive: Sequence[Path], frame: int, found: Sequence[Detection]
) -> list[Path]:
    """Add one frame's detections to the paths they fit best; returns the paths that begin here."""
    fits = []
    for p, path in enumerate(alive):
        seconds = (times_ns[frame] - times_ns[path.seen[-1].frame]) / SECOND_NS
        fits += [(_affinity(path, detection, seconds), p, d) for d, detection in enumerate(found)]
    taken, free = set(), set(range(len(found)))
    for fit, p, d in sorted(fits, reverse=True):
        if fit > 0 and p not in taken and d in free:
            alive[p].seen.append(Sighting(frame, found[d]))
            taken.add(p)
            free.remove(d)
    return [Path(found[d].kind, [Sighting(frame, found[d])]) for d in sorted(free)]


def _affinity(path: Path, detection: Detection, seconds: float) -> float:
    """Return how well a detection continues a path: overlap, else nearness below it; 0 for no match."""
    last = path.seen[-1].found.box
    if detection.kind is not path.kind:
        return 0.0
    overlap = iou(last, detection.box)
    if overlap >= MIN_OVERLAP:
        return 1 + overlap
    (x0, y0), (x1, y1) = last.centre, detection.box.centre
    reach = (NEAR + SPEED * seconds) * max(last.area, detection.box.area) ** 0.5
    return max(0.0, 1 - math.hypot(x1 - x0, y1 - y0) / reach) if reach > 0 else 0.0


def _bridge(times_ns: Sequence[int], before: Sighting, after: Sighting, out: list[list[Detection]]) -> None:
    """Fill the frames between two sightings."""
    start, end = times_ns[before.frame], times_ns[after.frame]
    score = min(before.found.score, after.found.score)
    for frame in range(before.frame + 1, after.frame):
        now = times_ns[frame]
        box = interpolated(
            before.found.box, after.found.box, (now - start) / (end - start) if end > start else 0
        )
        out[frame].append(Detection(before.found.kind, _slack(box, min(now - start, end - now)), score))


def _carry(times_ns: Sequence[int], path: Path, out: list[list[Detection]], step: int) -> None:
    """Carry a path on beyond its first (`step` -1) or last (1) sighting, with its speed there."""
    edge = path.seen[0 if step < 0 else -1]
    vx, vy = _velocity(times_ns, path.seen, step)
    frame = edge.frame + step
    while 0 <= frame < len(times_ns) and abs(times_ns[frame] - times_ns[edge.frame]) <= CARRY_NS:
        seconds = (times_ns[frame] - times_ns[edge.frame]) / SECOND_NS
        moved = edge.found.box.moved(vx * seconds, vy * seconds)
        # Whoever stopped or turned round is still where last seen.
        box = _slack(moved.union(edge.found.box), abs(times_ns[frame] - times_ns[edge.frame]))
        out[frame].append(Detection(path.kind, box, edge.found.score))
        frame += step


def _velocity(times_ns: Sequence[int], seen: Sequence[Sighting], step: int) -> tuple[float, float]:
    """Return pixels per second of the centre over the few sightings at one end."""
    few = seen[:4] if step < 0 else seen[-4:]
    seconds = (times_ns[few[-1].frame] - times_ns[few[0].frame]) / SECOND_NS
    if seconds <= 0:
        return 0.0, 0.0
    (x0, y0), (x1, y1) = few[0].found.box.centre, few[-1].found.box.centre
    return (x1 - x0) / seconds, (y1 - y0) / seconds


def _slack(box: Box, away_ns: int) -> Box:
    return box.grown(1 + SLACK_PER_S * away_ns / SECOND_NS)
