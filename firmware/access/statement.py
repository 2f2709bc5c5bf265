"""What an owner says and signs: one format and one verifier for settings, commands and updates.

A statement is a DSSE envelope (Dead Simple Signing Envelope, version 1): base64 of a payload, its type, and
one Ed25519 signature over both. The payload is a JSON object of `kind`, `device` (its fingerprint),
`revision`, `issued` and `expires` (seconds since 1970) and `content`. `verify` checks, in this order:

1. the envelope is a bounded JSON object of exactly these keys, and of our type;
2. it has exactly one signature, and it is of the owner's key, over the type and the payload as they came;
3. only then is the payload read: a JSON object of exactly these keys;
4. it is for this device;
5. it is of the kind that was asked for;
6. it is of this time: issued not in the future, not expired, and valid for 30 days at most;
7. it is for the revision that comes next: whatever was said for one before is a replay.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from firmware.access.identity import fingerprint_of
from firmware.access.owner import OwnerKey
from firmware.core.strict_json import NotStrict, read_json

TYPE = "application/vnd.veilcam.statement+json"
LONGEST = 32 * 1024
ENVELOPE = {"payloadType", "payload", "signatures"}
PAYLOAD = {"kind", "device", "revision", "issued", "expires", "content"}

DAY_S = 86_400
LONGEST_S = 30 * DAY_S
EARLY_S = 300
"""How far the clocks of two computers may differ."""


class StatementRefused(ValueError):
    """A statement is not what it should be; the text says which check it failed."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said, once it has been verified; only `verify` and whoever is to sign makes one."""

    kind: str
    device: str
    revision: int
    issued_s: int
    expires_s: int
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a statement has to be: of this kind, for this device, for this revision, at this time."""

    kind: str
    device: str
    revision: int
    now_s: float


def pae(payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding of our type and a payload."""
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)


def sign(statement: Statement, key: Ed25519PrivateKey) -> str:
    """Return a statement's envelope, signed by an owner's key."""
    told = {
        "kind": statement.kind,
        "device": statement.device,
        "revision": statement.revision,
        "issued": statement.issued_s,
        "expires": statement.expires_s,
        "content": dict(statement.content),
    }
    payload = json.dumps(told, sort_keys=True).encode()
    signature = {
        "keyid": fingerprint_of(key.public_key().public_bytes_raw()),
        "sig": base64.b64encode(key.sign(pae(payload))).decode(),
    }
    envelope = {
        "payloadType": TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }
    return json.dumps(envelope)


def verify(envelope: str | bytes, owner: OwnerKey, expected: Expected) -> Statement:
    """Return what an owner said, if every check holds; raises StatementRefused."""
    # 1, 2
    payload = _signed_payload(envelope, owner)
    # 3
    statement = _read_payload(payload)
    # 4
    if statement.device != expected.device:
        raise StatementRefused("it is for another device")
    # 5
    if statement.kind != expected.kind:
        raise StatementRefused(f"it is not about {expected.kind}")
    # 6
    if statement.issued_s > expected.now_s + EARLY_S:
        raise StatementRefused("it is of the future; set the clock of this camera or of the signer")
    if not statement.issued_s < statement.expires_s <= statement.issued_s + LONGEST_S:
        raise StatementRefused(f"it has to be valid for 1 second to {LONGEST_S // DAY_S} days")
    if expected.now_s >= statement.expires_s:
        raise StatementRefused("it has expired; sign it again")
    # 7
    if statement.revision != expected.revision:
        raise StatementRefused(
            f"it is for revision {statement.revision}, and the next is {expected.revision}; sign it again"
        )
    return statement


def _signed_payload(envelope: str | bytes, owner: OwnerKey) -> bytes:
    try:
        told = read_json(envelope, LONGEST)
    except NotStrict as exc:
        raise StatementRefused(f"its envelope is {exc}") from exc
    if set(told) != ENVELOPE or told["payloadType"] != TYPE:
        raise StatementRefused("it is no statement's envelope")
    signatures = told["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise StatementRefused("it needs exactly one signature")
    payload, signature = _bytes(told["payload"]), _bytes(signatures[0].get("sig"))
    try:
        Ed25519PublicKey.from_public_bytes(owner.public).verify(signature, pae(payload))
    except InvalidSignature:
        raise StatementRefused("it is not signed by the owner of this camera") from None
    return payload


def _bytes(told: object) -> bytes:
    if not isinstance(told, str):
        raise StatementRefused("its base64 is no text")
    try:
        return base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise StatementRefused("its base64 is damaged") from exc


def _read_payload(payload: bytes) -> Statement:
    try:
        told = read_json(payload, LONGEST)
    except NotStrict as exc:
        raise StatementRefused(f"its payload is {exc}") from exc
    numbers = [told.get(key) for key in ("revision", "issued", "expires")]
    content = told.get("content")
    if (
        set(told) != PAYLOAD
        or not isinstance(told["kind"], str)
        or not isinstance(told["device"], str)
        or not isinstance(content, dict)
    ):
        raise StatementRefused("its payload is no statement")
    revision, issued, expires = (number if type(number) is int else -1 for number in numbers)
    if min(revision, issued, expires) < 0:
        raise StatementRefused("its payload is no statement")
    return Statement(told["kind"], told["device"], revision, issued, expires, content)
