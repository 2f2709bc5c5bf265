"""Statements: what the owner signed is taken, and nothing else is."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from firmware.access.owner import OwnerKey
from firmware.access.statement import (
    DAY_S,
    TYPE,
    Expected,
    Statement,
    StatementRefused,
    pae,
    sign,
    verify,
)

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OWNER = OwnerKey(KEY.public_key().public_bytes_raw())
EXPECTED = Expected("settings", "device", 7, NOW)
SAID = {"hide": "faces"}


def said(**more: object) -> Statement:
    fields: dict[str, object] = {
        "kind": "settings",
        "device": "device",
        "revision": 7,
        "issued_s": NOW,
        "expires_s": NOW + DAY_S,
        "content": SAID,
    }
    return Statement(**(fields | more))  # type: ignore[arg-type]


def enveloped(payload: bytes, key: Ed25519PrivateKey = KEY, /, **more: object) -> str:
    signature = {"keyid": "", "sig": base64.b64encode(key.sign(pae(payload))).decode()}
    envelope: dict[str, object] = {
        "payloadType": TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }
    return json.dumps(envelope | more)


def test_what_the_owner_signed_is_taken() -> None:
    assert verify(sign(said(), KEY), OWNER, EXPECTED) == said()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"device": "other"}, "another device"),
        ({"kind": "update"}, "not about settings"),
        ({"revision": 6}, "the next is 7"),
        ({"revision": 8}, "the next is 7"),
        ({"issued_s": NOW + 301}, "of the future"),
        ({"issued_s": NOW - 2 * DAY_S, "expires_s": NOW}, "has expired"),
        ({"expires_s": NOW + 31 * DAY_S}, "valid for"),
        ({"expires_s": NOW - 1}, "valid for"),
    ],
)
def test_what_is_of_another_place_or_time_is_refused(more: dict[str, object], why: str) -> None:
    with pytest.raises(StatementRefused, match=why):
        verify(sign(said(**more), KEY), OWNER, EXPECTED)


def test_another_key_is_refused_before_anything_of_it_is_read() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(StatementRefused, match="not signed by the owner"):
        verify(enveloped(b"\xff not even json", other), OWNER, EXPECTED)


PAYLOAD = base64.b64decode(json.loads(sign(said(), KEY))["payload"])


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ("", "envelope is not JSON"),
        (" " * 40_000, "longer than"),
        (enveloped(PAYLOAD, payloadType="application/json"), "no statement's envelope"),
        (enveloped(PAYLOAD, more=1), "no statement's envelope"),
        (enveloped(PAYLOAD, signatures=[]), "exactly one signature"),
        (enveloped(PAYLOAD, signatures=[{}, {}]), "exactly one signature"),
        (enveloped(PAYLOAD, signatures=[{"sig": 5}]), "no text"),
        (enveloped(PAYLOAD, payload="?"), "damaged"),
        (enveloped(b"[]"), "payload is not a JSON object"),
        (enveloped(b'{"kind": 1}'), "payload is no statement"),
        (enveloped(PAYLOAD.replace(b'"revision": 7', b'"revision": true')), "payload is no statement"),
        (enveloped(PAYLOAD.replace(b'"content": {', b'"content": {"a": 1, "a": 2, ')), "twice"),
    ],
)
def test_what_is_no_statement_is_refused(envelope: str, why: str) -> None:
    with pytest.raises(StatementRefused, match=why):
        verify(envelope, OWNER, EXPECTED)


@given(st.data())
def test_any_change_of_any_byte_is_refused(data: st.DataObject) -> None:
    whole = sign(said(), KEY).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    changed = whole[:at] + bytes([other]) + whole[at + 1 :]
    try:
        told = verify(changed, OWNER, EXPECTED)
    except StatementRefused:
        return
    # White space and the key's name, which is for people, may differ; what was said may not.
    assert told == said()


@given(st.binary(max_size=300))
def test_rubbish_is_refused_and_nothing_else_happens(rubbish: bytes) -> None:
    with pytest.raises(StatementRefused):
        verify(rubbish, OWNER, EXPECTED)
