"""Counts people in zones, over lines and by how long they stay; what leaves is numbers per window of time.

Nobody has a number here. Who somebody is from one look to the next is where the tracker saw them last, which
is forgotten a second after they are gone; so nothing can be joined over a gap, let alone over days.

What is hidden: a count from 1 to `least` - 1 is withheld (None). Windows do not overlap and zones may not
(see `config.areas`), and no sums are told, so that no withheld count is the difference of two told ones.

What is not hidden: that a withheld count is not zero; that one person came or went where a count of at least
`least` changes from window to window; and what whoever also stands there can add up from a line and a zone
that meet. A zone that holds one desk says whether somebody is at it: that is for the owner to weigh, who has
to sign for every zone, line and smaller `least`.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware.core.places import Line, Point, Zone
from firmware.core.policy import SECOND_NS

DWELLS_S = (5, 15, 60, 300, 900)
"""Upper ends of the buckets of dwell times, in seconds; one more holds what is longer."""

GONE_NS = SECOND_NS + SECOND_NS // 2
"""Who was not seen for so long is gone: half a second longer than a track coasts."""
OUT_NS = SECOND_NS
"""Who was outside for so long has left: a step over the edge and back is one stay."""
STAY_NS = SECOND_NS // 2
"""Stays that are shorter are none: somebody who cuts a corner, or nobody at all."""
SURE = 0.01
"""Share of the picture that somebody has to be away from a line to be on one side of it for sure."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where one person is at a look, and what they were known by at the one before and are known by now."""

    before: Hashable
    now: Hashable
    foot: Point


@dataclass(frozen=True, slots=True)
class ZoneCounts:
    """People in a zone at the window's end, and stays that ended in it by how long they were."""

    people: int | None
    dwell: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Crossings of a line."""

    to_left: int | None
    to_right: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """Counts of one window; None is a count that is withheld.

    `looked` is the share of its seconds in which a look came in: no count is worth more than that.
    """

    span_s: float
    looked: float
    zones: Mapping[str, ZoneCounts]
    lines: Mapping[str, LineCounts]


@dataclass(slots=True)
class _Stay:
    since_ns: int
    until_ns: int


@dataclass(slots=True)
class _Person:
    """Somebody in the picture: when they were seen last, where they stay, where they were for sure."""

    seen_ns: int
    stays: dict[int, _Stay] = field(default_factory=dict)
    sure: dict[int, Point] = field(default_factory=dict)


class Counting:
    """Counts of one camera; times in nanoseconds of the monotonic clock, and they rise."""

    def __init__(self, zones: Sequence[Zone], lines: Sequence[Line], least: int, begun_ns: int) -> None:
        self._zones, self._lines, self._least = zones, lines, least
        self._people: dict[Hashable, _Person] = {}
        self._begin(begun_ns)

    def _begin(self, begun_ns: int) -> None:
        self._begun_ns = begun_ns
        self._seconds: set[int] = set()
        self._dwell = [[0] * (len(DWELLS_S) + 1) for _ in self._zones]
        self._crossed = [[0, 0] for _ in self._lines]

    def look(self, at_ns: int, steps: Sequence[Step]) -> None:
        """Take in where everybody is who was seen at a look."""
        self._seconds.add(at_ns // SECOND_NS)
        if steps:
            people = [self._known(step, at_ns) for step in steps]
            feet = np.array([step.foot for step in steps])
            for number, zone in enumerate(self._zones):
                self._stay(number, people, zone.holds(feet).tolist(), at_ns)
            for number, line in enumerate(self._lines):
                self._cross(number, people, steps, line.right_of(feet).tolist())
        self._forget(at_ns)

    def window(self, now_ns: int) -> Window:
        """End the window and begin the next one."""
        self._forget(now_ns)
        span_s = (now_ns - self._begun_ns) / SECOND_NS
        zones = {
            zone.name: ZoneCounts(
                self._told(self._there(number, now_ns)), tuple(map(self._told, self._dwell[number]))
            )
            for number, zone in enumerate(self._zones)
        }
        lines = {
            line.name: LineCounts(*map(self._told, self._crossed[number]))
            for number, line in enumerate(self._lines)
        }
        looked = min(1.0, len(self._seconds) / max(1.0, span_s))
        self._begin(now_ns)
        return Window(span_s, looked, zones, lines)

    def _told(self, count: int) -> int | None:
        return None if 0 < count < self._least else count

    def _known(self, step: Step, at_ns: int) -> _Person:
        person = self._people.pop(step.before, None) or _Person(at_ns)
        person.seen_ns = at_ns
        self._people[step.now] = person
        return person

    def _stay(self, zone: int, people: Sequence[_Person], inside: Sequence[bool], at_ns: int) -> None:
        for person, is_in in zip(people, inside, strict=True):
            stay = person.stays.get(zone)
            if is_in and stay is None:
                person.stays[zone] = _Stay(at_ns, at_ns)
            elif is_in and stay is not None:
                stay.until_ns = at_ns
            elif stay is not None and at_ns - stay.until_ns > OUT_NS:
                self._leave(zone, person)

    def _leave(self, zone: int, person: _Person) -> None:
        stay = person.stays.pop(zone)
        lasted_ns = stay.until_ns - stay.since_ns
        if lasted_ns >= STAY_NS:
            bucket = sum(lasted_ns > end * SECOND_NS for end in DWELLS_S)
            self._dwell[zone][bucket] += 1

    def _cross(self, line: int, people: Sequence[_Person], steps: Sequence[Step], right: list[float]) -> None:
        for person, step, off in zip(people, steps, right, strict=True):
            if abs(off) < SURE:
                continue
            before = person.sure.get(line)
            person.sure[line] = step.foot
            if before is None:
                continue
            was_right = bool(self._lines[line].right_of(np.array([before]))[0] > 0)
            if was_right != (off > 0) and self._lines[line].is_met(before, step.foot):
                self._crossed[line][off > 0] += 1

    def _forget(self, now_ns: int) -> None:
        """Let go of who is gone."""
        gone = [key for key, person in self._people.items() if now_ns - person.seen_ns > GONE_NS]
        for key in gone:
            person = self._people.pop(key)
            for zone in list(person.stays):
                self._leave(zone, person)

    def _there(self, zone: int, now_ns: int) -> int:
        stays = [person.stays[zone] for person in self._people.values() if zone in person.stays]
        return sum(
            now_ns - stay.until_ns <= GONE_NS and stay.until_ns - stay.since_ns >= STAY_NS for stay in stays
        )
