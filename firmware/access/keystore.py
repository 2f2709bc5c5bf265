"""The device's own keys in files of its state folder, which a secret of the machine's hardware can encrypt.

Every file is the camera's alone (0600), PKCS#8 in PEM. Without hardware there is no password: whoever can
read the state folder can read what a password would have to lie beside. A power cut leaves a key that is
there or none; what is there and cannot be read is an error and never replaced: a device that changes its keys
is another device. One that has to be encrypted and is not was put there by somebody else, and is no key.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeGuard, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from firmware.errors import IdentityDamaged
from firmware.state import written

K = TypeVar("K", Ed25519PrivateKey, X25519PrivateKey, EllipticCurvePrivateKey)
Fits: TypeAlias = Callable[[object], TypeGuard[K]]
"""Tells whether a key is of the kind that a file must hold."""

HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

SIGNING, EXCHANGE, TLS = "signing.key", "exchange.key", "tls.key"
FILES = (SIGNING, EXCHANGE, TLS)


class FileKeyStore:
    """Keys in one folder, made when they are first asked for, encrypted where there is a password."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self._folder = folder
        self._password = None if password is None else password.encode()
        self._signing = self._key(SIGNING, _signs, Ed25519PrivateKey.generate)
        self._exchange = self._key(EXCHANGE, _exchanges, X25519PrivateKey.generate)
        self._tls = self._key(TLS, _serves, lambda: generate_ec(SECP256R1()))

    @property
    def signing_public(self) -> bytes:
        """The Ed25519 public key (32 bytes, RFC 8032) that names this device."""
        return self._signing.public_key().public_bytes_raw()

    @property
    def exchange_public(self) -> bytes:
        """The X25519 public key (32 bytes, RFC 7748) that contents are encrypted for."""
        return self._exchange.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the device's Ed25519 signature (64 bytes) of a message."""
        return self._signing.sign(message)

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open what was sealed for the X25519 key (HPKE, RFC 9180); raises InvalidTag, ValueError."""
        return HPKE.decrypt(wrapped, self._exchange, info)

    @property
    def tls_key(self) -> EllipticCurvePrivateKey:
        """The ECDSA P-256 key of the device's own certificate."""
        return self._tls

    @property
    def tls_key_file(self) -> Path:
        """Where that key lies, for OpenSSL, which reads files alone."""
        return self._folder / TLS

    def _key(self, name: str, fits: Fits[K], generate: Callable[[], K]) -> K:
        path = self._folder / name
        try:
            return _read(path, fits, self._password)
        except FileNotFoundError:
            key = generate()
        locked = NoEncryption() if self._password is None else BestAvailableEncryption(self._password)
        with written(path, private=True) as part:
            part.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        return key


def _read(path: Path, fits: Fits[K], password: bytes | None) -> K:
    """Read one key; raises FileNotFoundError, IdentityDamaged."""
    try:
        found: PrivateKeyTypes = load_pem_private_key(path.read_bytes(), password)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise IdentityDamaged(
            f"{path}: cannot be read: {exc}; put the file back from a copy of the state folder"
        ) from exc
    if not fits(found):
        raise IdentityDamaged(f"{path}: is a key of another kind; put the right file back")
    return found


def _signs(key: object) -> TypeGuard[Ed25519PrivateKey]:
    return isinstance(key, Ed25519PrivateKey)


def _exchanges(key: object) -> TypeGuard[X25519PrivateKey]:
    return isinstance(key, X25519PrivateKey)


def _serves(key: object) -> TypeGuard[EllipticCurvePrivateKey]:
    return isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
