"""Section A of the update cases: who may say that there is an update."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import Signature, SSlibKey
from tuf.api.metadata import Metadata, Root, Timestamp

from ota.errors import Code, UpdateRefused
from ota.metadata import Floor, Here, verify
from ota.strict import load
from tests.ota.workshop import BOARD, NOW, Workshop, resigned, stranger


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.build(counter=1)
    return made


def refused(code: Code, call: Callable[[], object]) -> str:
    with pytest.raises(UpdateRefused) as caught:
        call()
    assert caught.value.code is code, str(caught.value)
    return str(caught.value)


def changed(
    shop: Workshop, role: str, change: Callable[[Any], None], *, own: bool = True
) -> dict[str, bytes]:
    """The repository's files with one role changed, signed by its own key or by a stranger's."""
    files = shop.repository.files()
    (name,) = [name for name in files if name.endswith(f"{role}.json")]
    signers = list(shop.repository._signers(role)) if own else [stranger()]
    files[name] = resigned(files[name], signers, change)  # type: ignore[arg-type]
    return files


def nothing(signed: Any) -> None:
    """Change nothing."""


def test_what_is_signed_and_new_is_believed(shop: Workshop) -> None:
    found = shop.verify()
    assert found.release.counter == 1
    assert found.seen.versions == {"timestamp": 2, "snapshot": 2, "targets": 2}
    shop.build(counter=2)
    assert shop.verify().release.counter == 2


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a01_a_stranger_signs(shop: Workshop, role: str) -> None:
    files = changed(shop, role, nothing, own=False)
    with pytest.raises(UpdateRefused) as caught:
        shop.verify(files)
    assert caught.value.code in (Code.UNSIGNED, Code.CORRUPT)


def test_a02_nobody_signs(shop: Workshop) -> None:
    files = shop.repository.files()
    files["timestamp.json"] = resigned(files["timestamp.json"], [], nothing)
    refused(Code.UNSIGNED, lambda: shop.verify(files))


def test_a03_one_signature_of_two_makes_no_root(shop: Workshop) -> None:
    shop.lie("targets", "root-1")
    refused(Code.UNSIGNED, shop.verify)


def test_a04_one_key_that_signs_twice_counts_once(shop: Workshop) -> None:
    shop.lie("targets", "root-1", "root-1")
    refused(Code.UNSIGNED, shop.verify)


def keyed(shop: Workshop, key: SSlibKey, sign: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """A repository whose root gives the timestamp another key, and a timestamp that this key signed."""
    files = shop.repository.files()
    root = Metadata[Root].from_bytes(shop.anchor)
    root.signed.version += 1
    root.signed.revoke_key(root.signed.roles["timestamp"].keyids[0], "timestamp")
    root.signed.add_key(key, "timestamp")
    root.signatures.clear()
    for signer in shop.repository._signers("root"):
        root.sign(signer, append=True)
    stamp = Metadata[Timestamp].from_bytes(files["timestamp.json"])
    stamp.signatures = {key.keyid: Signature(key.keyid, sign(stamp.signed_bytes).hex())}
    return {**files, "2.root.json": root.to_bytes(), "timestamp.json": stamp.to_bytes()}


P256, ED25519 = generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()
FITS = ("ecdsa", "ecdsa-sha2-nistp256")


def by_p256(payload: bytes) -> bytes:
    return P256.sign(payload, ECDSA(SHA256()))


def pem(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a05_a_key_of_another_kind_whose_scheme_fits_is_believed(shop: Workshop) -> None:
    assert shop.verify(keyed(shop, SSlibKey("a" * 64, *FITS, {"public": pem(P256)}), by_p256)).release


@pytest.mark.parametrize(
    ("kind", "public", "sign", "code"),
    [
        (("ecdsa", "ecdsa-sha2-nistp384"), pem(P256), by_p256, Code.UNSIGNED),
        (("ecdsa", "ecdsa-sha2-nistp521"), pem(P256), by_p256, Code.UNSIGNED),
        (("rsa", "rsassa-pss-sha256"), pem(P256), by_p256, Code.UNSIGNED),
        (FITS, pem(ED25519), ED25519.sign, Code.UNSIGNED),
        (("ed25519", "ed25519"), pem(P256), by_p256, Code.UNSIGNED),
        (("ed25519", "ecdsa-sha2-nistp256"), pem(P256), by_p256, Code.MALFORMED),
        (("ecdsa", "ed25519"), ED25519.public_key().public_bytes_raw().hex(), ED25519.sign, Code.MALFORMED),
        (("ed25519", "none"), ED25519.public_key().public_bytes_raw().hex(), ED25519.sign, Code.MALFORMED),
    ],
    ids=range(8),
)
def test_a05_a_scheme_that_does_not_fit_its_key(
    shop: Workshop, kind: tuple[str, str], public: str, sign: Callable[[bytes], bytes], code: Code
) -> None:
    files = keyed(shop, SSlibKey("a" * 64, *kind, {"public": public}), sign)
    refused(code, lambda: shop.verify(files))


def test_a06_a_signature_too_many_does_no_harm(shop: Workshop) -> None:
    files = shop.repository.files()
    told = json.loads(files["timestamp.json"])
    told["signatures"].append({"keyid": "f" * 64, "sig": "00"})
    files["timestamp.json"] = json.dumps(told).encode()
    assert shop.verify(files).release.counter == 1


def test_a07_to_a09_an_older_repository_that_is_still_valid(shop: Workshop) -> None:
    old = shop.repository.files()
    shop.build(counter=2)
    shop.verify()
    assert "version 3 was here before" in refused(Code.ROLLBACK, lambda: shop.verify(old))


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_a08_a09_an_older_part_in_a_newer_whole(shop: Workshop, role: str) -> None:
    old = {name: text for name, text in shop.repository.files().items() if role in name}
    shop.build(counter=2)
    (stale,) = old.values()
    files = {name: stale if role in name else text for name, text in shop.repository.files().items()}
    with pytest.raises(UpdateRefused) as caught:
        shop.verify(files)
    assert caught.value.code in (Code.ROLLBACK, Code.CORRUPT)


def test_a10_a_snapshot_without_targets(shop: Workshop) -> None:
    files = shop.repository.files()
    told = json.loads(files[f"{2}.snapshot.json"])
    told["signed"]["meta"] = {}
    files["2.snapshot.json"] = json.dumps(told).encode()
    with pytest.raises(UpdateRefused):
        shop.verify(files)


def test_a11_parts_of_two_repositories(shop: Workshop) -> None:
    old = shop.repository.files()
    shop.build(counter=2)
    files = shop.repository.files()
    files["3.targets.json"] = old["2.targets.json"]
    with pytest.raises(UpdateRefused) as caught:
        shop.verify(files)
    assert caught.value.code in (Code.CORRUPT, Code.ROLLBACK)


def test_a12_a_timestamp_that_has_expired(shop: Workshop) -> None:
    assert "expired" in refused(Code.EXPIRED, lambda: shop.verify(now=NOW + timedelta(days=31)))


def test_a13_a_root_that_has_expired(shop: Workshop) -> None:
    shop.wait(400)
    shop.repository._publish({})
    refused(Code.EXPIRED, shop.verify)
    shop.repository.rotate("targets")
    shop.build(counter=2)
    assert shop.verify().release.counter == 2, "an expired root in the middle of the chain is none to stop at"


def test_a14_a_version_of_two_to_the_31_is_recovered_from_by_new_keys(shop: Workshop) -> None:
    shop.verify()
    shop.floor = Floor(shop.floor.root, dict(shop.floor.versions, timestamp=2**31), 0, 0)
    refused(Code.ROLLBACK, shop.verify)
    shop.repository.rotate("timestamp")
    assert shop.verify().seen.versions["timestamp"] < 10


def test_a15_a16_roots_follow_one_another(shop: Workshop) -> None:
    for _ in range(3):
        shop.repository.rotate("root")
    files = shop.repository.files()
    assert shop.verify(files).release.counter == 1
    shop.floor = Floor()
    shop.repository.rotate("targets")
    gap = shop.repository.files()
    del gap["3.root.json"]
    # The roots after the gap are not reached, and what they would allow is not either.
    refused(Code.UNSIGNED, lambda: shop.verify(gap))


def test_a18_what_a_revoked_key_signed_is_nothing(shop: Workshop) -> None:
    old = shop.repository.files()
    shop.repository.rotate("targets")
    files = {**shop.repository.files()}
    for name in ("timestamp.json", "2.snapshot.json", "2.targets.json"):
        files[name] = old[name]
    refused(Code.UNSIGNED, lambda: shop.verify(files))


def test_a19_files_without_an_end_are_not_read(shop: Workshop) -> None:
    files = shop.repository.files() | {"timestamp.json": b" " * 20_000}
    refused(Code.MALFORMED, lambda: shop.verify(files))


def test_a21_no_cache_is_kept_that_could_be_zeroed(shop: Workshop) -> None:
    old = shop.repository.files()
    shop.build(counter=2)
    shop.verify()
    # Nothing but the floor is left of what was seen: that is what a power cut cannot take.
    refused(Code.ROLLBACK, lambda: verify(old, shop.anchor, shop.floor, Here((BOARD,), NOW)))


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e400}',
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{}",
        b"[]",
        b"",
    ],
    ids=range(10),
)
def test_a24_json_with_two_meanings_or_none(shop: Workshop, content: bytes) -> None:
    files = shop.repository.files() | {"timestamp.json": content}
    refused(Code.MALFORMED, lambda: shop.verify(files))


def test_a26_a_name_that_leads_elsewhere_is_none(shop: Workshop, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    files = shop.repository.files() | {"../../evil.json": b"{}"}
    refused(Code.MALFORMED, lambda: shop.verify(files))
    assert sorted(tmp_path.rglob("*")) == before


def test_a28_a_later_specification_is_not_guessed_at(shop: Workshop) -> None:
    files = shop.repository.files()
    told = json.loads(files["timestamp.json"])
    told["signed"]["spec_version"] = "2.0.0"
    files["timestamp.json"] = json.dumps(told).encode()
    with pytest.raises(UpdateRefused):
        shop.verify(files)

    def more(signed: Any) -> None:
        signed.unrecognized_fields["novel"] = 1

    assert shop.verify(changed(shop, "timestamp", more)).release.counter == 1


def test_a29_a_key_of_another_role(shop: Workshop) -> None:
    files = shop.repository.files()
    signers = list(shop.repository._signers("snapshot"))
    files["timestamp.json"] = resigned(files["timestamp.json"], signers, nothing)  # type: ignore[arg-type]
    refused(Code.UNSIGNED, lambda: shop.verify(files))


@pytest.mark.parametrize("anchor", [b"", b"{}", b"\x00" * 100])
def test_c10_without_a_trust_anchor_nothing_is_believed(shop: Workshop, anchor: bytes) -> None:
    refused(Code.NO_ANCHOR, lambda: shop.verify(anchor=anchor))


def test_c01_another_board(shop: Workshop) -> None:
    refused(Code.INCOMPATIBLE, lambda: shop.verify(boards=("pi5",)))


def test_c06_a_higher_version_with_a_lower_counter(shop: Workshop) -> None:
    shop.verify()
    shop.floor = Floor(shop.floor.root, shop.floor.versions, 5, 0)
    refused(Code.ROLLBACK, shop.verify)


def test_c13_a_clock_of_1970_takes_nothing_that_the_floor_knows_to_be_over(shop: Workshop) -> None:
    past = datetime(1970, 1, 2, tzinfo=UTC)
    assert shop.verify(now=past).release.counter == 1, "the floor knows no time yet"
    late = int((NOW + timedelta(days=40)).timestamp())
    shop.floor = Floor(shop.floor.root, shop.floor.versions, 0, late)
    refused(Code.EXPIRED, lambda: shop.verify(now=past))


def test_c14_a_clock_of_2099_is_an_expiry_and_poisons_nothing(shop: Workshop) -> None:
    shop.verify()
    refused(Code.EXPIRED, lambda: shop.verify(now=datetime(2099, 1, 1, tzinfo=UTC)))
    assert shop.floor.time_s == int(NOW.timestamp())
    assert shop.verify().release.counter == 1


@given(st.binary(max_size=400))
def test_rubbish_is_refused(rubbish: bytes) -> None:
    with pytest.raises(UpdateRefused):
        verify({"timestamp.json": rubbish}, b"{}", Floor(), Here((BOARD,), NOW))


@given(st.binary(max_size=400))
def test_strict_json_ends_with_an_object_or_a_refusal(rubbish: bytes) -> None:
    with contextlib.suppress(UpdateRefused):
        assert isinstance(load(rubbish, 400, "it"), dict)
