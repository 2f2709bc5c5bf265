"""Hands what the tracker follows to what counts: where people stand, and nothing else of them."""

from collections.abc import Sequence

from firmware.core.counting import Counting, Step, Window
from firmware.core.frames import Kind
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.places import Line, Point, Zone
from firmware.pipeline.tracker import Tracker
from firmware.ports import CameraInfo, Clock

LOWEST = 1 - 1e-6
"""Where a body ends that the picture's lower side cuts: still inside of what reaches to that side."""


class Count:
    """Counts of one camera. Use it on the loop only; where nothing is to be counted it does nothing."""

    def __init__(self, camera: CameraInfo, clock: Clock) -> None:
        self._width, self._height = camera.width, camera.height
        self._clock = clock
        self._used: tuple[Sequence[Zone], Sequence[Line], int] | None = None
        self.use((), (), 1)

    def use(self, zones: Sequence[Zone], lines: Sequence[Line], least: int) -> None:
        """Count in these zones and over these lines; where they are others, the window begins anew."""
        if (zones, lines, least) == self._used:
            return
        self._used = (zones, lines, least)
        self._active = bool(zones or lines)
        self._counting = Counting(zones, lines, least, self._clock.monotonic_ns())

    def saw(self, kind: Kind, moment: Moment, tracker: Tracker) -> None:
        """Take in one look: who was seen in it."""
        if not self._active:
            return
        at_ns, steps = moment.captured_ns, []
        for track in tracker.tracks:
            if track.kind is kind and track.seen[-1][0] == at_ns:
                before = track.seen[-2] if len(track.seen) > 1 else None
                steps.append(Step(before, track.seen[-1], self._foot(track.seen[-1][1])))
        self._counting.look(at_ns, steps)

    def window(self) -> Window:
        """End the window and begin the next one."""
        return self._counting.window(self._clock.monotonic_ns())

    def _foot(self, box: Box) -> Point:
        """Return where somebody stands: the middle of the lower side of what is seen of them."""
        seen = box.clipped(self._width, self._height)
        return seen.centre[0] / self._width, min(LOWEST, seen.bottom / self._height)
