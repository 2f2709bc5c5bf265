"""Where the authors' private keys are: files of a folder, unless a repository is handed another place."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Signer

SUFFIX = ".pem"


class KeyMissing(Exception):
    """A private key that has to sign is not there; the text says which, and what to do."""


class Keys(Protocol):
    """The private keys of one repository, by names such as `root-1` and `targets-r2`."""

    def names(self, role: str) -> Sequence[str]:
        """Return the names of the keys that are here for a role."""
        ...

    def signer(self, name: str) -> Signer:
        """Return what signs with a key; it may ask for the key only when it signs."""
        ...

    def make(self, name: str) -> Signer:
        """Make a key of a name that is not there yet."""
        ...


class KeyFiles:
    """Ed25519 keys in files of one folder: PEM, PKCS#8, `NAME.pem`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, role: str) -> Sequence[str]:
        """Return the names of a role's files."""
        return sorted(path.stem for path in self._folder.glob(f"{role}-*{SUFFIX}"))

    def signer(self, name: str) -> Signer:
        """Return the signer of a file; raises OSError, ValueError, TypeError."""
        return read_key(self._folder / f"{name}{SUFFIX}")

    def make(self, name: str) -> Signer:
        """Write a new key; raises FileExistsError."""
        key = Ed25519PrivateKey.generate()
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._folder / f"{name}{SUFFIX}"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        return CryptoSigner(key)


def read_key(path: Path) -> CryptoSigner:
    """Return the signer of a key's file; raises OSError, ValueError, TypeError."""
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path.name}: not an Ed25519 key")
    return CryptoSigner(key)
