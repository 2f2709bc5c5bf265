"""When a frame was, by two clocks: the source's own and that of its arrival here."""

from dataclasses import dataclass

from firmware.core.policy import SECOND_NS

AHEAD_NS = SECOND_NS // 10
"""A stamp further ahead of its arrival than this is a jump: nothing arrives before it was seen."""

BEHIND_NS = SECOND_NS
"""A frame that comes later than this is of no known time: its way was slow, or its clock is."""

SETTLED_NS = 2 * SECOND_NS
"""A source that has been behind for so long has another clock than it had."""

FALL_PPM, RISE_PPM = 500, 100
"""How fast the difference of both clocks follows their drift, in parts per million: more than crystals drift,
and over half a second a quarter of a millisecond. It falls faster than it rises because arrival is never
early, and late all the time."""

LEAST_STEP_NS = 1_000_000
"""How far frames of no known time are apart at least."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Number and times of a frame; `captured_ns` and `arrived_ns` are monotonic, in nanoseconds.

    Moments of one `timeline` can be compared by what the source says of them. Where its clock jumps a new one
    begins; None means that nothing is known about when the frame was.
    """

    seq: int
    captured_ns: int
    arrived_ns: int
    timeline: int | None = 0

    def after(self, other: "Moment") -> bool:
        """Tell whether it is later than another of the same timeline."""
        return self.seq > other.seq and self.captured_ns > other.captured_ns

    def within(self, span_ns: int, other: "Moment") -> bool:
        """Tell whether two moments of one timeline are no further apart than `span_ns`, by either clock.

        A connection that stalls and then bursts tells a lie about arrival, a source whose stamps stand still
        one about capture; whichever says that more time has passed is believed.
        """
        apart = max(abs(self.captured_ns - other.captured_ns), abs(self.arrived_ns - other.arrived_ns))
        return self.timeline is not None and self.timeline == other.timeline and apart <= span_ns


class SourceClock:
    """Maps the stamps of a source, in nanoseconds of whatever clock, to our monotonic time.

    The difference between both clocks is taken once and then follows their drift: the distance of two frames
    is always what the source says it is. Where the source contradicts the arrival a new timeline begins, or
    the frame is of no known time.
    """

    def __init__(self) -> None:
        self._timeline = -1
        self._offset = 0
        self._stamp = 0
        self._captured = 0
        self._behind_since: int | None = None

    def moment(self, seq: int, stamp_ns: int | None, arrived_ns: int) -> Moment:
        """Return when the frame `seq` was; `stamp_ns` is what its source says, None for nothing."""
        timeline = None if stamp_ns is None else self._placed(stamp_ns, arrived_ns)
        captured = arrived_ns if stamp_ns is None else stamp_ns + self._offset
        # What is known is not moved; encoders and receivers need that the rest rises, too.
        least = self._captured + (1 if timeline is not None else LEAST_STEP_NS)
        self._captured = max(captured, least)
        return Moment(seq, self._captured, arrived_ns, timeline)

    def _placed(self, stamp_ns: int, arrived_ns: int) -> int | None:
        """Return the timeline that a frame belongs to; None where its time is not known."""
        step, self._stamp = stamp_ns - self._stamp, stamp_ns
        lag = arrived_ns - stamp_ns - self._offset
        jumped = step < 0 or lag < -AHEAD_NS or stamp_ns + self._offset <= self._captured
        if self._timeline < 0 or (jumped and step) or self._settled_behind(lag, arrived_ns):
            self._begin(stamp_ns, arrived_ns)
            return self._timeline
        if step == 0 or self._behind_since is not None:
            return None
        self._offset += max(-(step * FALL_PPM // 10**6), min(lag, step * RISE_PPM // 10**6))
        return self._timeline

    def _settled_behind(self, lag: int, arrived_ns: int) -> bool:
        """Tell whether the source has been behind for so long that it will stay so."""
        if lag <= BEHIND_NS:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = arrived_ns
        return self._behind_since is not None and arrived_ns - self._behind_since > SETTLED_NS

    def _begin(self, stamp_ns: int, arrived_ns: int) -> None:
        self._timeline += 1
        self._offset = max(arrived_ns, self._captured + LEAST_STEP_NS) - stamp_ns
        self._behind_since = None
