"""Section B of the update cases: the envelope and what is sealed in it."""

import base64
import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ota import stream, unpack
from ota.author import pack
from ota.bundle import MAGIC, header, read_bundle
from ota.errors import Code, UpdateRefused
from ota.release import AEADS, CHUNK, read_release
from ota.stanza import HybridPrivate, KeyInMemory, read_public, wrap
from ota.stream import SEALED, cipher, seal, sealed_length, unseal
from ota.unpack import Begun
from tests.ota.test_metadata import refused
from tests.ota.workshop import Workshop

CONTENT = bytes(range(256)) * (CHUNK // 256) * 2 + b"the end"
"""Three chunks."""
KEYS = ["format", "id", "version", "recipients", "privacy"]


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def payload_of(bundle: bytes) -> int:
    return read_bundle(io.BytesIO(bundle)).payload


@pytest.mark.parametrize("aead", AEADS)
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_what_is_sealed_is_unsealed(shop: Workshop, aead: str, size: int) -> None:
    content = CONTENT[:size]
    release, bundle = shop.build(content, aead=aead)
    assert len(bundle) - payload_of(bundle) == release.sealed_length == sealed_length(size)
    assert shop.take(bundle) == content


def test_both_suites_and_several_devices(shop: Workshop) -> None:
    hybrid = HybridPrivate(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())
    other = X25519PrivateKey.generate()
    release, bundle = shop.build(b"content", keys=[shop.key, hybrid, other])
    assert [one.kem for one in release.recipients] == ["X25519", "MLKEM768-X25519", "X25519"]
    for key in (shop.key, hybrid, other):
        assert shop.take(bundle, key) == b"content"
        assert read_public(key.public_key().public_bytes_raw())
    overhead = len(bundle) - len(b"content")
    assert overhead < 16 * 1024


def test_b01_every_byte_of_the_header_counts(shop: Workshop) -> None:
    _, bundle = shop.build(b"content")
    begin = payload_of(bundle)
    taken = []
    for at in range(begin):
        changed = bytearray(bundle)
        changed[at] ^= 1
        try:
            assert shop.take(bytes(changed)) == b"content"
        except UpdateRefused:
            continue
        taken.append(at)
    # What may differ says nothing: bits of base64 and of its JSON that no byte depends on.
    assert len(taken) < 16


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_b02_no_byte_of_a_changed_chunk_is_handed_on(shop: Workshop, chunk: int) -> None:
    release, bundle = shop.build(CONTENT)
    begin = payload_of(bundle) + chunk * SEALED
    changed = bytearray(bundle)
    changed[begin + 3] ^= 1
    verified = shop.verify()
    assert verified.release == release
    file, out = io.BytesIO(bytes(changed)), io.BytesIO()
    file.seek(payload_of(bundle))
    text = refused(
        Code.CORRUPT,
        lambda: unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), file, out.write),
    )
    assert f"chunk {chunk} of 3" in text
    assert out.getvalue() == CONTENT[: chunk * CHUNK]


@pytest.mark.parametrize("cut", [1, 100, SEALED, SEALED + 1, 2 * SEALED, 3 * SEALED])
def test_b03_b04_what_is_cut_off_is_missed(shop: Workshop, cut: int) -> None:
    _, bundle = shop.build(CONTENT)
    refused(Code.CORRUPT, lambda: shop.take(bundle[: max(payload_of(bundle), len(bundle) - cut)]))


@pytest.mark.parametrize("length", [0, 5, len(MAGIC), len(MAGIC) + 3, len(MAGIC) + 100])
def test_b04_a_header_that_is_cut_off(shop: Workshop, length: int) -> None:
    _, bundle = shop.build(b"content")
    refused(Code.MALFORMED, lambda: shop.take(bundle[:length]))


def test_b05_what_follows_the_end_is_noticed(shop: Workshop) -> None:
    _, bundle = shop.build(CONTENT)
    refused(Code.CORRUPT, lambda: shop.take(bundle + b"x"))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (0, 1, 1), (2, 1, 0)])
def test_b06_chunks_cannot_change_places(shop: Workshop, order: tuple[int, ...]) -> None:
    _, bundle = shop.build(CONTENT)
    begin = payload_of(bundle)
    chunks = [bundle[begin + n * SEALED : begin + (n + 1) * SEALED] for n in range(3)]
    changed = bundle[:begin] + b"".join(chunks[n] for n in order)
    refused(Code.CORRUPT, lambda: shop.take(changed[: len(bundle)].ljust(len(bundle), b"\0")))


def test_b09_b10_another_algorithm_opens_nothing(shop: Workshop) -> None:
    release, _ = shop.build(b"content")
    refused(Code.UNSUPPORTED, lambda: read_release(release.told() | {"aead": "none"}))
    refused(Code.UNSUPPORTED, lambda: read_release(release.told() | {"format": 2}))
    stanza = replace(release.recipients[0], kem="MLKEM768-X25519")
    moved = replace(release, recipients=(stanza,))
    verified = replace(shop.verify(), release=moved)
    refused(
        Code.NOT_FOR_ME,
        lambda: unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), io.BytesIO(), print),
    )


def test_b11_b19_whoever_is_no_recipient_is_told_just_that(shop: Workshop) -> None:
    _, bundle = shop.build(b"content")
    other = X25519PrivateKey.generate()
    assert refused(Code.NOT_FOR_ME, lambda: shop.take(bundle, other)) == (
        "the update is not for this device's key"
    )


@pytest.mark.parametrize("field", ["id", "version", "counter", "compatible", "salt", "aead"])
def test_b12_a_key_of_one_update_opens_no_other(shop: Workshop, field: str) -> None:
    release, _ = shop.build(b"content")
    other = {
        "id": "0" * 32,
        "version": "9",
        "counter": 9,
        "compatible": ("pi5",),
        "salt": "0" * 32,
        "aead": AEADS[1],
    }
    moved = replace(release, **{field: other[field]})  # type: ignore[arg-type]
    verified = replace(shop.verify(), release=moved)
    refused(
        Code.NOT_FOR_ME,
        lambda: unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), io.BytesIO(), print),
    )


def test_b13_no_key_and_no_salt_is_used_twice(shop: Workshop) -> None:
    seen = {shop.build(b"", counter=n)[0] for n in range(1, 60)}
    assert len({one.salt for one in seen}) == len({one.id for one in seen}) == 59


def test_b14_a_payload_that_opens_and_is_another_is_refused(shop: Workshop) -> None:
    _, bundle = shop.build(b"content")
    verified = shop.verify()
    lies = replace(verified, release=replace(verified.release, plain_sha256="0" * 64))
    file = io.BytesIO(bundle[payload_of(bundle) :])
    refused(Code.CORRUPT, lambda: unpack.unpack(lies, lies.release.whole, KeyInMemory(shop.key), file, len))


def test_b15_whoever_seals_it_anew_for_themselves_has_signed_nothing(shop: Workshop) -> None:
    release, bundle = shop.build(b"content")
    key, mine = b"k" * 32, X25519PrivateKey.generate()
    stolen = replace(release, recipients=(wrap(key, mine.public_key(), release.binding),))
    sealed = b"".join(seal(cipher(stolen, stolen.whole, key), io.BytesIO(b"evil").read))
    files = dict(read_bundle(io.BytesIO(bundle)).files)
    refused(Code.NOT_FOR_ME, lambda: shop.take(header(files, b"{}") + sealed, mine))


def test_b16_a_point_of_low_order_opens_nothing(shop: Workshop) -> None:
    release, _ = shop.build(b"content")
    low = base64.b64encode(bytes(32) + b"x" * 48).decode()
    moved = replace(release, recipients=(replace(release.recipients[0], wrapped=low),))
    verified = replace(shop.verify(), release=moved)
    refused(
        Code.NOT_FOR_ME,
        lambda: unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), io.BytesIO(), print),
    )


def test_b18_nothing_is_decrypted_that_was_not_verified(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bundle = shop.build(CONTENT)
    opened: list[int] = []
    real = stream.unseal

    def spy(*told: object) -> object:
        opened.append(1)
        return real(*told)  # type: ignore[arg-type]

    monkeypatch.setattr(unpack, "unseal", spy)
    changed = bundle.replace(b'"files"', b'"filez"')
    refused(Code.MALFORMED, lambda: shop.take(changed))
    shop.anchor = b""
    refused(Code.NO_ANCHOR, lambda: shop.take(bundle))
    assert opened == []


def test_b20_the_bill_of_materials_is_the_one_that_was_signed(shop: Workshop) -> None:
    release, bundle = shop.build(b"content", sbom=b'{"bomFormat": "CycloneDX"}')
    files = dict(read_bundle(io.BytesIO(bundle)).files)
    changed = header(files, b"{}") + bundle[payload_of(bundle) :]
    refused(Code.CORRUPT, lambda: shop.take(changed))
    assert len(release.sbom_sha256) == 64


def test_i06_a_later_format_is_named(shop: Workshop) -> None:
    refused(Code.UNSUPPORTED, lambda: read_bundle(io.BytesIO(b"veilcam-update-2\n" + b"x" * 100)))


@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_interrupted_pass_goes_on_where_it_was(shop: Workshop, done: int) -> None:
    _, bundle = shop.build(CONTENT)
    verified, begin = shop.verify(), payload_of(bundle)
    out = io.BytesIO(CONTENT[: done * CHUNK])
    begun = Begun(done, io.BytesIO(out.getvalue()))
    out.seek(0, io.SEEK_END)
    file = io.BytesIO(bundle)
    file.seek(begin + done * SEALED)
    unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), file, out.write, begun)
    assert out.getvalue() == CONTENT
    other = Begun(1, io.BytesIO(b"x" * CHUNK))
    file.seek(begin + SEALED)
    refused(
        Code.CORRUPT,
        lambda: unpack.unpack(verified, verified.release.whole, KeyInMemory(shop.key), file, len, other),
    )


def test_the_same_chance_makes_the_same_payload(tmp_path: Path) -> None:
    def counting() -> "itertools.count[int]":
        return itertools.count(1)

    payloads = []
    for name in ("one", "two"):
        shop = Workshop(tmp_path / name)
        numbers = counting()
        _, bundle = shop.build(b"content", random=lambda size, numbers=numbers: next(numbers).to_bytes(size))
        payloads.append(bundle[payload_of(bundle) :])
    assert payloads[0] == payloads[1]


def test_a_folder_is_packed_alike_whoever_packs_it(tmp_path: Path) -> None:
    packed = []
    for name in ("a", "b"):
        folder = tmp_path / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "run").write_text("#!/bin/sh\n")
        (folder / "bin" / "run").chmod(0o755 if name == "a" else 0o700)
        (folder / "link").symlink_to("bin/run")
        out = io.BytesIO()
        pack(folder, out)
        packed.append(out.getvalue())
    assert packed[0] == packed[1]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_no_bundle(rubbish: bytes) -> None:
    for content in (rubbish, MAGIC + rubbish, MAGIC + len(rubbish).to_bytes(4) + rubbish):
        with pytest.raises(UpdateRefused):
            read_bundle(io.BytesIO(content))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers() | st.text()))
def test_rubbish_is_no_release(told: dict[str, object]) -> None:
    with pytest.raises(UpdateRefused):
        read_release(told | {"format": 1})


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_rubbish_is_never_unsealed(rubbish: bytes, length: int) -> None:
    aead = stream.AESGCM(bytes(32))
    with pytest.raises(UpdateRefused):
        list(unseal(aead, io.BytesIO(rubbish), length))
