"""The unhidden picture. Only ports, drivers, pipeline and redact may import it (see contracts and roster)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from firmware.core.frames import Plane, Planes
from firmware.core.geometry import Box
from firmware.core.moment import Moment


@final
@dataclass(slots=True, eq=False)
class RawFrame:
    """A lease on a camera buffer: full-resolution planar YUV 4:2:0 as the camera gave it.

    `captured_ns` is monotonic, and by the source's own clock where it has one; `arrived_ns` is when the frame
    came (None: the same); `timeline` says which frames' times can be compared (see `core.moment`). `lores` is
    a smaller picture of the same instant where the camera makes one. `skipped` pictures before it could not
    be decoded; one that is `damaged` itself stands for such a picture and is hidden whole. Whoever holds the
    last reference calls `release` exactly once; planes are not touched after it.
    """

    planes: Planes = field(repr=False)
    captured_ns: int
    seq: int
    lores: Planes | None = field(default=None, repr=False)
    on_release: Callable[[], None] | None = field(default=None, repr=False)
    arrived_ns: int | None = None
    timeline: int | None = 0
    skipped: int = 0
    damaged: bool = False
    _leases: int = field(default=1, repr=False)

    @property
    def moment(self) -> Moment:
        """When it was."""
        arrived = self.captured_ns if self.arrived_ns is None else self.arrived_ns
        return Moment(self.seq, self.captured_ns, arrived, self.timeline)

    def lease(self) -> "RawFrame":
        """Take one more lease; it needs one more `release`."""
        if self._leases < 1:
            raise ValueError(f"frame {self.seq} was released already")
        self._leases += 1
        return self

    def release(self) -> None:
        """Give one lease back; the last one returns the buffer to the camera."""
        if self._leases < 1:
            raise ValueError(f"frame {self.seq} was released twice")
        self._leases -= 1
        if self._leases == 0 and self.on_release is not None:
            self.on_release()


@final
@dataclass(frozen=True, slots=True, eq=False)
class DetectorPicture:
    """What detectors look at: a BGR picture (h, w, 3), uint8, cut and scaled from a raw frame.

    `part` is what it shows of the frame, in the frame's pixels.
    """

    bgr: Plane = field(repr=False)
    moment: Moment
    part: Box
