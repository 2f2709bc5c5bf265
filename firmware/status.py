"""What the camera says about itself to pages and programs; numbers only, never pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from firmware.core.frames import Verdict


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One look at the running camera.

    Rates are per second, latencies in milliseconds from capture to encoded packet (None before the first
    one), both over the last ten seconds or so, `uptime_s` in seconds; `failed` means that
    nothing was released for five seconds.
    """

    verdict: Verdict
    """Of the frame released last; BLIND before the first one."""
    released_fps: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    chain: str
    """Name of the chain of models in use, such as "registry"."""
    detectors: tuple[str, ...]
    """Model and runtime of every opened detector."""
    width: int
    height: int
    smallest_face: int | None
    smallest_body: int | None
    """Heights in pixels of this picture from which on faces and bodies are found; None where not measured."""
    uptime_s: float
    failed: bool = False
    reason: str = ""
    """One sentence for people: why the picture is blind or why the pipeline failed."""
    detector_restarts: int = 0
    released: Mapping[Verdict, int] = field(default_factory=dict)
    """Frames released since the start, by verdict."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Frames dropped since the start, by stage."""


class StatusSource(Protocol):
    """Tells how the camera is; called on the loop and must not wait."""

    def __call__(self) -> CameraStatus:
        """Return the state of this moment."""
        ...


@dataclass(frozen=True, slots=True)
class BrokerVitals:
    """The connection to the broker; counted since the start."""

    named: bool
    up: bool
    connections: int
    waiting: int
    """Messages that wait for it."""
    refused: int
    """Messages that it did not take."""


@dataclass(frozen=True, slots=True)
class UpdateVitals:
    """How far updates are; `phases` is true for one of them."""

    phases: Mapping[str, bool]
    counter: int
    """Security counter of what is confirmed."""


@dataclass(frozen=True, slots=True)
class StorageVitals:
    """Bytes of the file system that the state lies on, and how many of them are free."""

    size: int
    free: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """What surrounds the picture; None where it is not known."""

    broker: BrokerVitals | None = None
    certificate_ends_s: int | None = None
    """When the broker's client certificate ends; seconds since 1970."""
    audit_entries: int | None = None
    audit_unanchored: int | None = None
    """Entries that nobody off the device stands for yet; None where nobody is named."""
    update: UpdateVitals | None = None
    storage: StorageVitals | None = None


class VitalsSource(Protocol):
    """Tells how everything around the picture is; waits for the disk, so call it in a thread."""

    def __call__(self) -> Vitals:
        """Return the state of this moment."""
        ...
