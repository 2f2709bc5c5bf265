"""What may leave the pipeline: redacted frames and encoded packets, with privacy in their type.

`Redacted` and `Raw` are labels for the type checker: a function that accepts `Packet[Redacted]` does not
type-check with a `Packet[Raw]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar, final

import numpy as np
import numpy.typing as npt

from firmware.core.geometry import Box

Plane: TypeAlias = npt.NDArray[np.uint8]


@final
class Redacted:
    """Label: the people in the picture are hidden."""


@final
class Raw:
    """Label: the picture is as the camera saw it."""


V = TypeVar("V", Redacted, Raw)


class Verdict(StrEnum):
    """How much is known about the people in one frame."""

    VERIFIED = "verified"
    """Detectors looked at this very frame."""
    PREDICTED = "predicted"
    """Looks before and after this frame are in, each within the stated time; tracks say where people were."""
    BLIND = "blind"
    """Anything else: the whole picture is hidden."""


class Kind(StrEnum):
    """What a detector found."""

    FACE = "face"
    HEAD = "head"
    """A head from any side: turned away, covered, from above."""
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing a detector found, in pixels of the picture it was given."""

    kind: Kind
    box: Box
    score: float


Region: TypeAlias = Box
"""A part of the picture to hide."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A planar YUV 4:2:0 picture, limited range: y (h, w), u and v (h/2, w/2), uint8; w and h are even."""

    y: Plane
    u: Plane
    v: Plane

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.y.shape[0])

    def i420(self) -> Plane:
        """Return the picture as one contiguous array (h * 3 / 2, w): itself where it lies so, else a copy."""
        h, w = self.y.shape
        parts = (self.y, self.u, self.v)
        sizes = [part.size for part in parts]
        begins = [part.__array_interface__["data"][0] for part in parts]
        whole = self.y.base
        together = all(part.base is whole and part.flags.c_contiguous for part in parts)
        if whole is not None and together and np.diff(begins).tolist() == sizes[:2]:
            return np.lib.stride_tricks.as_strided(self.y, (h * 3 // 2, w), (w, 1))
        return np.concatenate([part.reshape(-1) for part in parts]).reshape(h * 3 // 2, w)

    @classmethod
    def of(cls, i420: Plane) -> "Planes":
        """Return views on one contiguous I420 array of shape (h * 3 / 2, w)."""
        h, w = i420.shape[0] * 2 // 3, i420.shape[1]
        chroma = i420[h:].reshape(-1)
        size = (h // 2) * (w // 2)
        return cls(i420[:h], chroma[:size].reshape(h // 2, w // 2), chroma[size:].reshape(h // 2, w // 2))


@dataclass(frozen=True, slots=True, eq=False)
class RedactedFrame:
    """A picture in which people are hidden; made by `pipeline.mask` alone.

    `i420` is one contiguous array of shape (h * 3 / 2, w) that nobody else holds; `captured_ns` is
    monotonic; `regions` is exactly what was hidden (empty where `verdict` is blind: everything was).
    """

    i420: Plane = field(repr=False)
    captured_ns: int
    seq: int
    verdict: Verdict
    regions: Sequence[Region]

    @property
    def planes(self) -> Planes:
        """The same picture, plane by plane."""
        return Planes.of(self.i420)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.i420.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.i420.shape[0]) * 2 // 3


@dataclass(frozen=True, slots=True)
class Packet(Generic[V]):
    """An encoded picture (H.264 access unit, Annex B); V says whether the people in it are hidden."""

    data: bytes = field(repr=False)
    keyframe: bool
    captured_ns: int
    seq: int
    label: type[V]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be hidden in one frame, how much is known about it, and by which policy (its digest).

    Blind hides all of it, and then there are no regions.
    """

    verdict: Verdict
    regions: Sequence[Region] = ()
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """What left the camera: the packet of one rendition, and what was hidden in it and why."""

    rendition: str
    packet: Packet[Redacted]
    judgement: Judgement
