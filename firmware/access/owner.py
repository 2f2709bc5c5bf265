"""Whose camera this is: the claim code that it shows, and the key of whoever claimed it.

The code has 80 random bits, so guessing it needs no throttle; the state folder holds its hash alone. The
owner's private key never comes near the camera: `veilcam owner keygen` makes it on the owner's own computer.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware.access.identity import fingerprint_of
from firmware.errors import IdentityDamaged
from firmware.ports import Clock
from firmware.state import written

FOLDER = "owner"
CLAIM, OWNER = "claim.json", "owner.json"

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U to be misread."""
SYMBOLS, GROUP = 16, 4
MEANT = str.maketrans({"-": "", " ": "", "O": "0", "I": "1", "L": "1"})
"""How what people type is read."""

MAGIC = "veilcam-owner ed25519"
LONGEST_KEY = 256


class ClaimRefused(Exception):
    """The code is not the one that was shown."""


class AlreadyClaimed(Exception):
    """The camera has an owner."""


class KeyMalformed(ValueError):
    """A text is no owner's public key."""


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """An owner's Ed25519 public key, 32 bytes (RFC 8032), and what they call it."""

    public: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """Return what names the key, to be read out and compared."""
        return fingerprint_of(self.public)

    def line(self) -> str:
        """Return the one line of a public key file."""
        return f"{MAGIC} {base64.b64encode(self.public).decode()} {self.comment}".rstrip()

    @classmethod
    def read(cls, text: str) -> "OwnerKey":
        """Read a public key file; raises KeyMalformed."""
        words = text.strip().split(" ", 3)
        if len(text) > LONGEST_KEY or len(words) < 3 or " ".join(words[:2]) != MAGIC or "\n" in text.strip():
            raise KeyMalformed(f"not an owner's public key: it is one line that begins with {MAGIC!r}")
        try:
            public = base64.b64decode(words[2], validate=True)
            Ed25519PublicKey.from_public_bytes(public)
        except (binascii.Error, ValueError) as exc:
            raise KeyMalformed("not an owner's public key: its 32 bytes are damaged") from exc
        return cls(public, words[3] if len(words) > 3 else "")


class Ownership:
    """Who owns this camera, as the state folder has it; its methods wait for the disk."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self._folder = state / FOLDER
        self._clock = clock
        self._lock = threading.Lock()
        self._owner = self._read_owner()

    @property
    def owner(self) -> OwnerKey | None:
        """The owner's key; None where nobody has claimed the camera."""
        return self._owner

    def first_code(self, *, anew: bool = False) -> str | None:
        """Make the claim code and return it, the one time that it can be shown; None ever after.

        With `anew` a camera without an owner makes another one, and the one before is none any more: for a
        camera on a wall, where what was shown may have been seen by nobody, or cut off with the power.
        """
        if self._owner is not None or ((self._folder / CLAIM).exists() and not anew):
            return None
        code = "".join(secrets.choice(ALPHABET) for _ in range(SYMBOLS))
        self._write(CLAIM, {"sha256": _hash(code)})
        return "-".join(code[n : n + GROUP] for n in range(0, SYMBOLS, GROUP))

    def claim(self, code: str, key: OwnerKey, record: Callable[[], object]) -> None:
        """Make whoever has the code the owner, by their public key; `record` is called before that holds.

        Raises:
            AlreadyClaimed: the camera has an owner.
            ClaimRefused: the code is another, or none was made.
        """
        with self._lock:
            if self._owner is not None:
                raise AlreadyClaimed
            if not hmac.compare_digest(self._expected(), _hash(code)):
                raise ClaimRefused
            record()
            self._write(OWNER, {"key": key.line(), "claimed_ns": self._clock.wall_ns()})
            self._owner = key
            # Last: after a power cut in between the owner is there, and goes before the code.
            (self._folder / CLAIM).unlink(missing_ok=True)

    def _expected(self) -> str:
        """Return the hash of the code that was shown; one that nothing has where none was."""
        path = self._folder / CLAIM
        try:
            return str(json.loads(path.read_bytes())["sha256"])
        except FileNotFoundError:
            return secrets.token_hex(32)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise IdentityDamaged(f"{path}: cannot be read; delete it and start again") from exc

    def _read_owner(self) -> OwnerKey | None:
        path = self._folder / OWNER
        try:
            return OwnerKey.read(str(json.loads(path.read_bytes())["key"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            # Not taken for a camera without an owner: then anybody with a new code could have it.
            raise IdentityDamaged(f"{path}: cannot be read; put it back from a copy") from exc

    def _write(self, name: str, content: dict[str, object]) -> None:
        with written(self._folder / name, private=True) as part:
            part.write_text(json.dumps(content), encoding="ascii")


def _hash(code: str) -> str:
    """Return the SHA-256 of a code as it is meant: hyphens, spaces and small letters do not count."""
    meant = code.upper().translate(MEANT)
    return hashlib.sha256(meant.encode()).hexdigest()
