"""The owner's private key as a file on the owner's own computer."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from firmware.access.owner import OwnerKey
from firmware.errors import OutputError


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
