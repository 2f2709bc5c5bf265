"""Proves a record of the device: every line is its own, in order, and none is missing up to a head."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware.access.identity import fingerprint_of
from firmware.audit import EMPTY, Head, read_line, signed_part
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import RecordDamaged
from firmware.ports import KeyStore

SIGNED = b"veilcam audit head 1\n"
LONGEST = 4096


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A head that somebody keeps off the device, and the device's public key."""

    public: bytes
    head: Head

    @property
    def device(self) -> str:
        """The fingerprint of the device that signed it."""
        return fingerprint_of(self.public)


def sign_head(head: Head, keys: KeyStore) -> str:
    """Return a head as one line of JSON, signed by the device."""
    key = base64.b64encode(keys.signing_public).decode()
    signature = base64.b64encode(keys.sign(_signed(head))).decode()
    return json.dumps({"key": key, "n": head.n, "sha256": head.sha256, "sig": signature})


def read_head(text: str | bytes) -> KeptHead:
    """Read a signed head; raises RecordDamaged. Whose it is, is for the caller to compare."""
    try:
        told = read_json(text, LONGEST)
        public = base64.b64decode(str(told["key"]), validate=True)
        head = Head(int(str(told["n"])), str(told["sha256"]))
        signature = base64.b64decode(str(told["sig"]), validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(head))
    except (KeyError, ValueError) as exc:
        raise RecordDamaged(f"the head is damaged: {exc}") from exc
    except InvalidSignature as exc:
        raise RecordDamaged("the head is not signed by the key that it names") from exc
    return KeptHead(public, head)


def prove(lines: Iterable[bytes], public: bytes, kept: Head = EMPTY) -> Head:
    """Return the head of a record that is whole, at least up to `kept`.

    Raises:
        RecordDamaged: a line was changed, moved, put in or taken out, or the record ends before `kept`.
    """
    key, head, seen = Ed25519PublicKey.from_public_bytes(public), EMPTY, kept == EMPTY
    for at, line in enumerate(lines, start=1):
        try:
            entry, signature = read_line(line)
            key.verify(signature, signed_part(entry))
        except NotStrict as exc:
            raise RecordDamaged(f"line {at}: {exc}") from exc
        except InvalidSignature as exc:
            raise RecordDamaged(f"line {at}: not signed by this device, or changed") from exc
        if entry.n != at or entry.before != head.sha256:
            raise RecordDamaged(f"line {at}: does not follow the line before it")
        head = Head(entry.n, hashlib.sha256(line).hexdigest())
        seen = seen or head == kept
    if not seen:
        raise RecordDamaged(f"entry {kept.n}, which was kept, is not in it: it was cut off or written anew")
    return head


def _signed(head: Head) -> bytes:
    return SIGNED + f"{head.n} {head.sha256}".encode()
