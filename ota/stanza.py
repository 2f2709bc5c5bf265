"""The content key, wrapped for one device or group by HPKE (RFC 9180, base mode).

Two suites: X25519, and MLKEM768-X25519 (a hybrid that also stands against quantum computers), each with
HKDF-SHA256 and AES-256-GCM. The info of each wrapping is the release's binding: a stanza that is moved to
another update, version, board or suite does not open. Whoever is no recipient is told just that.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ota.errors import Code, UpdateRefused
from ota.release import Recipient, Release

KEY_BYTES = 32
RAW_BYTES = 32
X25519, HYBRID = "X25519", "MLKEM768-X25519"


@dataclass(frozen=True, slots=True)
class HybridPublic:
    """A public key of the second suite; its bytes are ML-KEM-768's and then X25519's."""

    mlkem: MLKEM768PublicKey
    x25519: X25519PublicKey

    def public_bytes_raw(self) -> bytes:
        """Return 1,216 bytes."""
        return self.mlkem.public_bytes_raw() + self.x25519.public_bytes_raw()


@dataclass(frozen=True, slots=True)
class HybridPrivate:
    """A private key of the second suite."""

    mlkem: MLKEM768PrivateKey
    x25519: X25519PrivateKey

    def public_key(self) -> HybridPublic:
        """Return its other half."""
        return HybridPublic(self.mlkem.public_key(), self.x25519.public_key())


PublicKey: TypeAlias = X25519PublicKey | HybridPublic
PrivateKey: TypeAlias = X25519PrivateKey | HybridPrivate

_SUITES = {
    X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    HYBRID: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
}


class Opens(Protocol):
    """Holds a device's private key and unwraps with it; the key may be in hardware."""

    @property
    def recipient(self) -> str:
        """What stanzas name this key by: see `name_of`."""
        ...

    @property
    def kem(self) -> str:
        """Its suite."""
        ...

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Return what was wrapped; raises InvalidTag, ValueError."""
        ...


class KeyInMemory:
    """A private key that this process holds."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.kem = X25519 if isinstance(key, X25519PrivateKey) else HYBRID
        self.recipient = name_of(key.public_key())

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Return what was wrapped; raises InvalidTag, ValueError."""
        if isinstance(self._key, HybridPrivate):
            key = hpke.MLKEM768X25519PrivateKey(self._key.mlkem, self._key.x25519)
            return _SUITES[HYBRID].decrypt(wrapped, key, info)
        return _SUITES[X25519].decrypt(wrapped, self._key, info)


def name_of(public: PublicKey) -> str:
    """Return what a stanza names a public key by: 32 hex digits of its SHA-256."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


def wrap(key: bytes, public: PublicKey, binding: Callable[[str], bytes]) -> Recipient:
    """Return a content key wrapped for a public key; `binding` is the release's."""
    if isinstance(public, HybridPublic):
        both = hpke.MLKEM768X25519PublicKey(public.mlkem, public.x25519)
        kem, wrapped = HYBRID, _SUITES[HYBRID].encrypt(key, both, binding(HYBRID))
    else:
        kem, wrapped = X25519, _SUITES[X25519].encrypt(key, public, binding(X25519))
    return Recipient(name_of(public), kem, base64.b64encode(wrapped).decode())


def read_public(content: bytes) -> PublicKey:
    """Read a raw public key, of the suite that its length tells; raises ValueError."""
    if len(content) == RAW_BYTES:
        return X25519PublicKey.from_public_bytes(content)
    mlkem, x25519 = content[:-RAW_BYTES], content[-RAW_BYTES:]
    return HybridPublic(MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519))


def unwrap(release: Release, keys: Opens) -> bytes:
    """Return the content key of a release; raises UpdateRefused (NOT_FOR_ME), whatever the reason is."""
    for stanza in release.recipients:
        if stanza.id == keys.recipient and stanza.kem == keys.kem:
            try:
                wrapped = base64.b64decode(stanza.wrapped, validate=True)
                key = keys.unwrap(wrapped, release.binding(stanza.kem))
            except (InvalidTag, ValueError, binascii.Error):
                break
            if len(key) == KEY_BYTES:
                return key
    raise UpdateRefused(Code.NOT_FOR_ME, "the update is not for this device's key")
