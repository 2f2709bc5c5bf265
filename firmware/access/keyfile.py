"""The owner's private key as a file on the owner's own computer."""

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from firmware.access.owner import OwnerKey
from firmware.errors import ConfigError, OutputError


def make_owner_key(path: Path, comment: str, passphrase: str) -> OwnerKey:
    """Write a new Ed25519 key to `path` (PKCS#8, PEM, 0600) and its public half beside it (`.pub`).

    It is encrypted where there is a passphrase. Nothing is overwritten.

    Raises:
        OutputError: a file is there already or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    public = OwnerKey(key.public_key().public_bytes_raw(), comment)
    how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    _new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how), 0o600)
    _new(path.with_name(f"{path.name}.pub"), f"{public.line()}\n".encode(), 0o644)
    return public


def read_owner_key(path: Path, passphrase: Callable[[], str]) -> Ed25519PrivateKey:
    """Read a key of `make_owner_key`; `passphrase` is asked where it is encrypted.

    Raises:
        ConfigError: it cannot be read, or the passphrase is another.
    """
    try:
        content = path.read_bytes()
        password = passphrase().encode() if b"ENCRYPTED" in content else None
        key = load_pem_private_key(content, password)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}; name the file of owner keygen") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{path}: not an owner's private key, or the passphrase is another") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a key of another kind; name the file of owner keygen")
    return key


def _new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as exc:
        raise OutputError(f"{path}: is there, and a key is never overwritten; give another name") from exc
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written: {exc.strerror}; choose another place") from exc
