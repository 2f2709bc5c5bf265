"""A repository that can be told to lie, bundles, and devices that take them."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from ota.author import Notes, Repository, build
from ota.bundle import read_bundle, require_bill
from ota.metadata import Floor, Here, VerifiedRelease, verify
from ota.release import Privacy, Release
from ota.stanza import KeyInMemory, PrivateKey
from ota.unpack import unpack

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BOARD = "laptop"
PRIVACY = Privacy("a" * 64, 9_900)


@dataclass
class Hands:
    """A clock that a test turns."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Workshop:
    """An author with a repository, and a device."""

    folder: Path
    clock: Hands = field(default_factory=Hands)
    key: PrivateKey = field(default_factory=X25519PrivateKey.generate)
    floor: Floor = field(default_factory=Floor)

    def __post_init__(self) -> None:
        self.repository = Repository(self.folder / "repository", self.clock)
        self.repository.create()
        self.anchor = self.repository.anchor()

    def build(
        self,
        content: bytes = b"version one",
        counter: int = 1,
        keys: Sequence[PrivateKey] | None = None,
        random: Callable[[int], bytes] | None = None,
        deltas: Mapping[str, BinaryIO] = MappingProxyType({}),
        **more: Any,
    ) -> tuple[Release, bytes]:
        """Publish a version and return its bundle."""
        told = {"version": f"1.{counter}", "counter": counter, "compatible": (BOARD,), "privacy": PRIVACY}
        out = io.BytesIO()
        publics = [key.public_key() for key in keys or [self.key]]
        extra: dict[str, Any] = {"deltas": deltas} | ({} if random is None else {"random": random})
        release = build(self.repository, Notes(**(told | more)), io.BytesIO(content), publics, out, **extra)
        return release, out.getvalue()

    def verify(self, files: dict[str, bytes] | None = None, **more: Any) -> VerifiedRelease:
        """Ask the device's verifier; it remembers what it has seen."""
        here = Here(more.get("boards", (BOARD,)), more.get("now", self.clock.now))
        given = self.repository.files() if files is None else files
        found = verify(given, more.get("anchor", self.anchor), self.floor, here)
        self.floor = found.seen
        return found

    def take(self, bundle: bytes, key: PrivateKey | None = None, boards: Sequence[str] = (BOARD,)) -> bytes:
        """Verify and unpack a bundle as a device does; returns the plain payload."""
        file = io.BytesIO(bundle)
        unverified = read_bundle(file)
        verified = self.verify(dict(unverified.files), boards=boards)
        require_bill(unverified, verified.release)
        out = io.BytesIO()
        unpack(verified, verified.release.whole, KeyInMemory(key or self.key), file, out.write)
        return out.getvalue()

    def lie(self, role: str, *signers: str) -> None:
        """Publish a root that too few have signed, as the repository itself would not."""
        pending = self.repository.rotate(role, signers)
        assert pending is not None
        pending.rename(self.repository.metadata / pending.name)

    def wait(self, days: float) -> None:
        self.clock.now += timedelta(days=days)


def resigned(content: bytes, signers: Sequence[CryptoSigner], change: Callable[[Any], None]) -> bytes:
    """Metadata with its signed part changed and signed by whoever."""
    metadata: Metadata[Any] = Metadata.from_bytes(content)
    change(metadata.signed)
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def stranger() -> CryptoSigner:
    return CryptoSigner(Ed25519PrivateKey.generate())
