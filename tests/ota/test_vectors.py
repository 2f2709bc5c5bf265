"""The formats stay what they are: a vector of RFC 9180, a second implementation of it, bytes once written."""

import base64
import hashlib
import io
import json
from pathlib import Path
from random import Random as Chance

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ota.release import AEADS, Part, Privacy, Release
from ota.stream import cipher, seal
from tests.ota.workshop import Workshop


def chance(seed: int) -> Chance:
    """Chance that is the same each time."""
    return Chance(seed)  # noqa: S311


def _hmac(key: bytes, content: bytes) -> bytes:
    made = hmac.HMAC(key, hashes.SHA256())
    made.update(content)
    return made.finalize()


def _extract(suite: bytes, label: bytes, content: bytes, salt: bytes = b"") -> bytes:
    return _hmac(salt or bytes(32), b"HPKE-v1" + suite + label + content)


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    told, made, block = length.to_bytes(2) + b"HPKE-v1" + suite + label + info, b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = _hmac(secret, block + told + bytes([number]))
        made += block
    return made[:length]


def opened(private: bytes, enc: bytes, sealed: bytes, info: bytes, aad: bytes, key_bytes: int) -> bytes:
    """RFC 9180, sections 4.1, 5.1 and 5.2: base mode, X25519, HKDF-SHA256, AES-GCM; written from its text."""
    key = X25519PrivateKey.from_private_bytes(private)
    kem = b"KEM" + (0x20).to_bytes(2)
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    context = enc + key.public_key().public_bytes_raw()
    secret = _expand(kem, _extract(kem, b"eae_prk", shared), b"shared_secret", context, 32)
    aead_id = {16: 1, 32: 2}[key_bytes]
    suite = b"HPKE" + (0x20).to_bytes(2) + (1).to_bytes(2) + aead_id.to_bytes(2)
    schedule = b"\0" + _extract(suite, b"psk_id_hash", b"") + _extract(suite, b"info_hash", info)
    made = _extract(suite, b"secret", b"", secret)
    aead = AESGCM(_expand(suite, made, b"key", schedule, key_bytes))
    return aead.decrypt(_expand(suite, made, b"base_nonce", schedule, 12), sealed, aad)


def test_the_second_implementation_opens_the_vector_of_the_rfc() -> None:
    """RFC 9180, appendix A.1.1.1, sequence number 0."""
    plain = opened(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"),
        bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"),
        bytes.fromhex(
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
        ),
        bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"),
        b"Count-0",
        16,
    )
    assert plain == b"Beauty is truth, truth beauty"


def test_what_we_wrap_is_hpke(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    assert isinstance(shop.key, X25519PrivateKey)
    release, _ = shop.build(random=chance(3).randbytes)
    (stanza,) = release.recipients
    wrapped = base64.b64decode(stanza.wrapped)
    info = release.binding(stanza.kem)
    key = opened(shop.key.private_bytes_raw(), wrapped[:32], wrapped[32:], info, b"", 32)
    drawn = chance(3)
    drawn.randbytes(32)  # the id and the salt
    assert key == drawn.randbytes(32)


def fixed(aead: str) -> Release:
    """A release of which nothing is drawn."""
    return Release(
        id="0123456789abcdef" * 2,
        version="1.0",
        counter=1,
        compatible=("laptop",),
        needs_counter=0,
        aead=aead,
        salt="fedcba9876543210" * 2,
        plain_length=0,
        plain_sha256="0" * 64,
        sealed_length=0,
        sealed_sha256="0" * 64,
        privacy=Privacy("0" * 64, 0),
        sbom_sha256="0" * 64,
        recipients=(),
    )


WRITTEN = {
    ("AES-256-GCM", ""): "bf41994485a92827c38132692fd899b8976842b4ebc2c77dec0fbb567b3b25e6",
    ("AES-256-GCM", "11" * 16): "2bdaa8525089694481cad5db2bc93d4171638055ac53a7baa8ccfd8a849d7fe6",
    ("ChaCha20-Poly1305", ""): "5f6f5f650bbdd0011dc9756c86e8358b191fc77b4e7058c8ea0d1e0920c85606",
}
"""SHA-256 of what 2,500,000 bytes were sealed to when the format was made."""


@pytest.mark.parametrize(("aead", "base"), WRITTEN)
def test_a_payload_is_sealed_as_it_always_was(aead: str, base: str) -> None:
    release = fixed(aead)
    assert aead in AEADS
    part = Part(base, 0, "", 0, "")
    plain = io.BytesIO(bytes(range(250)) * 10_000)
    found = hashlib.sha256()
    for chunk in seal(cipher(release, part, b"\x07" * 32), plain.read):
        found.update(chunk)
    assert found.hexdigest() == WRITTEN[aead, base]


def test_the_same_content_and_chance_make_the_same_bundle_but_for_wrapped_keys(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        shop = Workshop(tmp_path / name)
        content = b"the same content " * 100_000
        release, bundle = shop.build(content, random=chance(5).randbytes)
        told = {**release.told(), "recipients": []}
        made.append((json.dumps(told, sort_keys=True), bundle[-release.sealed_length :]))
    assert made[0] == made[1]
