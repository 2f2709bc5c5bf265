"""What one update is: for which boards, which version, how it is sealed, and what it does to privacy.

It stands in signed metadata; whoever reads it from anywhere else has an unverified one. `Release` is what was
said; `metadata.VerifiedRelease` is the only type that anything is installed by.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ota.errors import Code, UpdateRefused

FORMAT = 1
AEADS = ("AES-256-GCM", "ChaCha20-Poly1305")
CHUNK = 1 << 20
"""Bytes of a sealed chunk before sealing."""
LARGEST = 1 << 36
"""Bytes of a payload, far below what the chunk counter can number."""

MOST_DELTAS = 16

_ID = re.compile(r"[0-9a-f]{32}")
_HEX = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The content key, wrapped for whoever holds one key (see `stanza`); `kem` names the suite."""

    id: str
    kem: str
    wrapped: str
    """Base64."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the version promises: the digest of its policy, and how much its self-test finds, of 10,000."""

    policy: str
    recall: int


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed payload: the whole version, or what turns another release that is there (`base`) into it."""

    base: str
    """Id of the release that it is read against; empty where it is the whole."""
    plain_length: int
    plain_sha256: str
    sealed_length: int
    sealed_sha256: str


@dataclass(frozen=True, slots=True)
class Release:
    """One update, as its authors state it."""

    id: str
    """Names one build; 32 hex digits."""
    version: str
    counter: int
    """Security counter: never goes back, whatever the version is called."""
    compatible: tuple[str, ...]
    """Boards that it is for."""
    needs_counter: int
    """Least counter that has to run for it to be installed."""
    aead: str
    salt: str
    """Hex, 16 bytes."""
    plain_length: int
    plain_sha256: str
    sealed_length: int
    sealed_sha256: str
    privacy: Privacy
    sbom_sha256: str
    recipients: tuple[Recipient, ...]
    deltas: tuple[Part, ...] = ()

    @property
    def whole(self) -> Part:
        """The payload that needs no other release."""
        return Part("", self.plain_length, self.plain_sha256, self.sealed_length, self.sealed_sha256)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every payload, in a bundle's order: deltas, and then the whole."""
        return (*self.deltas, self.whole)

    def begins(self, part: Part) -> int:
        """Return how many bytes of other payloads lie before one in a bundle."""
        return sum(one.sealed_length for one in self.parts[: self.parts.index(part)])

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it, for the custom field of a target."""
        return {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}

    def binding(self, kem: str, base: str = "") -> bytes:
        """Return what a wrapped key and every chunk are bound to: a key for one update opens no other.

        Each payload of a release has a key of its own, by its `base`, so that no nonce comes twice.
        """
        bound = {
            "id": self.id,
            "version": self.version,
            "counter": self.counter,
            "compatible": list(self.compatible),
            "aead": self.aead,
            "kem": kem,
            "salt": self.salt,
            "base": base,
        }
        return b"veilcam update 1\n" + json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()


def read_release(told: Mapping[str, Any]) -> Release:
    """Read a release; raises UpdateRefused: UNSUPPORTED for another format, MALFORMED for rubbish."""
    if told.get("format") != FORMAT:
        raise UpdateRefused(Code.UNSUPPORTED, f"format {told.get('format')!r} is not known here")
    try:
        rest = {key: value for key, value in told.items() if key != "format"}
        recipients = tuple(Recipient(**one) for one in rest.pop("recipients"))
        privacy = Privacy(**rest.pop("privacy"))
        compatible = tuple(rest.pop("compatible"))
        deltas = tuple(Part(**one) for one in rest.pop("deltas", ()))
        release = Release(
            **rest, recipients=recipients, privacy=privacy, compatible=compatible, deltas=deltas
        )
        _check(release)
    except (KeyError, TypeError, ValueError) as exc:
        raise UpdateRefused(Code.MALFORMED, f"the release is malformed: {exc}") from exc
    return release


def _check(release: Release) -> None:
    """Raise ValueError where a field is not what it has to be."""
    parts = release.parts
    digests = [digest for part in parts for digest in (part.plain_sha256, part.sealed_sha256)]
    hexes = (*digests, release.sbom_sha256, release.privacy.policy)
    lengths = [length for part in parts for length in (part.plain_length, part.sealed_length)]
    numbers = (release.counter, release.needs_counter, *lengths)
    if not all(map(_HEX.fullmatch, hexes)):
        raise ValueError("a digest is no SHA-256")
    if not all(type(one) is int and 0 <= one <= LARGEST for one in (*numbers, release.privacy.recall)):
        raise ValueError("a number is out of range")
    if not all(map(_WORD.fullmatch, (release.version, *release.compatible))):
        raise ValueError("a version or a board is no word")
    if len(release.id) != 32 or len(release.salt) != 32 or bytes.fromhex(release.id + release.salt) == b"":
        raise ValueError("the id or the salt is not 16 bytes")
    bases = [part.base for part in release.deltas]
    if len(bases) > MOST_DELTAS or len(set(bases)) != len(bases) or not all(map(_ID.fullmatch, bases)):
        raise ValueError("its deltas are too many, or one has no base")
    if not release.compatible or not release.recipients or len(release.recipients) > 10_000:
        raise ValueError("it is for nobody, or for too many")
    for one in release.recipients:
        if len("".join((one.id, one.kem, one.wrapped))) > 4096:
            raise ValueError("a recipient is malformed")
    if release.aead not in AEADS:
        raise UpdateRefused(Code.UNSUPPORTED, f"sealed by {release.aead!r}, which is not known here")


def digest(content: bytes) -> str:
    """Return the SHA-256 of something, hex."""
    return hashlib.sha256(content).hexdigest()
