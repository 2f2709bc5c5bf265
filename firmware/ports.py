"""Every protocol that a back-end or a test double satisfies, one to three methods each."""

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Planes
from firmware.core.raw import DetectorPicture, RawFrame

PATIENCE_S = 5.0
"""How long an ordinary camera may be silent."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """What a camera delivers: size in pixels, nominal frames per second, and a name for people.

    One that gives no frame for `patience_s` is lost.
    """

    width: int
    height: int
    fps: float
    name: str
    patience_s: float = PATIENCE_S


class Camera(Protocol):
    """An opened camera; `capture` runs in the capture thread."""

    @property
    def info(self) -> CameraInfo:
        """What this camera delivers."""
        ...

    def capture(self) -> RawFrame:
        """Wait for the next frame and lease it.

        Raises:
            EndOfSource: a clip has ended.
            CameraLost: the camera stopped delivering.
            SourceCorrupt: the clip cannot be decoded.
        """
        ...


class OpensCamera(Protocol):
    """Opens a camera for the length of an `async with`."""

    def __call__(self) -> AbstractAsyncContextManager[Camera]:
        """Open it; raises SourceNotFound, SourceCorrupt or DriverUnavailable."""
        ...


class Detector(Protocol):
    """An opened detector; `detect` runs in the detector's own thread."""

    @property
    def name(self) -> str:
        """Model and runtime, for metrics and people."""
        ...

    @property
    def sight(self) -> Sight | None:
        """How pictures are cut and scaled for it; None where it takes them as they are."""
        ...

    def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
        """Find faces, heads or people, in pixels of `picture`."""
        ...


class OpensDetector(Protocol):
    """Opens a detector for the length of an `async with`; called again to restart it after a failure."""

    def __call__(self) -> AbstractAsyncContextManager[Detector]:
        """Open it; raises ModelMissing, WrongHash or DriverUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """One H.264 access unit, Annex B."""

    data: bytes
    keyframe: bool


class Encoder(Protocol):
    """An opened encoder of one rendition; `encode` runs in one thread."""

    def encode(self, planes: Planes, captured_ns: int, *, keyframe: bool) -> EncodedPicture | None:
        """Encode one picture; None while the encoder has nothing to give.

        Raises:
            EncoderFailed: the encoder refused the picture.
        """
        ...


class OpensEncoder(Protocol):
    """Opens an encoder for pictures of one size for the length of an `async with`."""

    def __call__(self, width: int, height: int, fps: float) -> AbstractAsyncContextManager[Encoder]:
        """Open it; raises DriverUnavailable or EncoderFailed."""
        ...


class KeyStore(Protocol):
    """Holds the device's private keys and uses them; no key leaves it."""

    @property
    def signing_public(self) -> bytes:
        """Ed25519 public key, 32 bytes; it names the device."""
        ...

    @property
    def exchange_public(self) -> bytes:
        """X25519 public key, 32 bytes, that contents are encrypted for."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature, 64 bytes."""
        ...

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open what was sealed for the X25519 key by HPKE; raises InvalidTag, ValueError."""
        ...


class Counter(Protocol):
    """Counts up and never down, in hardware: a copy of the card does not take it back."""

    def value(self) -> int:
        """Return how often it was raised; raises KeyUnavailable."""
        ...

    def up(self) -> None:
        """Raise it by one, for good; raises KeyUnavailable."""
        ...


class Updates(Protocol):
    """Takes updates; its methods wait for disk and network and raise UpdateError."""

    def status(self) -> dict[str, object]:
        """Say what runs, what is under way, and how the last update went."""
        ...

    def install(self, bundle: str, statement: str | None) -> dict[str, object]:
        """Take a bundle, a file or an https address."""
        ...

    def confirm(self) -> dict[str, object]:
        """Keep what is on trial."""
        ...

    def rollback(self, why: str) -> dict[str, object]:
        """Give up what is armed or on trial."""
        ...


class Remote(Protocol):
    """Keeps the camera known to a broker; its methods wait for the disk and raise ConfigError."""

    def status(self) -> dict[str, object]:
        """Say how it stands."""
        ...

    def request(self) -> str:
        """Make a key, and return a signing request for it, PEM."""
        ...

    def install(self, certificate: str) -> dict[str, object]:
        """Take the certificate that an authority made."""
        ...

    def moved(self) -> None:
        """Take note that the connection has to be made anew."""
        ...


class Lamp(Protocol):
    """Says to whoever stands before the camera that somebody sees the raw picture."""

    def show(self, *, lit: bool) -> None:
        """Light it or put it out; raises OSError where it does not obey."""
        ...


class Anchor(Protocol):
    """Keeps heads of the record off the device."""

    async def keep(self, head: str) -> None:
        """Hand a signed head over, one line of JSON; a newer one stands for those before it.

        Raises:
            OSError: whoever keeps them was not reached.
        """
        ...


class Clock(Protocol):
    """Time as the pipeline sees it."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back, for deadlines and frame times."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 (UTC), for records alone: it may go back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot, the clock that frames are stamped with."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, as the machine believes."""
        return time.time_ns()
