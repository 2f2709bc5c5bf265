"""Binds the device's keys to its TPM: what lies in the state folder is worth nothing in another machine.

No TPM signs with Ed25519 or opens X25519 or ML-KEM. So the keys stay files, the TLS key among them,
encrypted with a password that the TPM alone opens (`tpm.json`, which only such a folder has). Another one,
made of the same secret, reads and raises the counter that update records are held against.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from firmware.access.keystore import FILES, FileKeyStore
from firmware.access.tpm import Sealed, Tpm, TpmCounter
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import IdentityDamaged
from firmware.ports import Counter
from firmware.state import written

FILE, TPM = "file", "tpm"
BOUND = "tpm.json"
LONGEST = 16_384
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Bound:
    """What the TPM gave: the password of the keys' files, and a counter."""

    password: str = field(repr=False)
    counter: Counter


def open_keys(folder: Path, kind: str) -> tuple[FileKeyStore, Bound | None]:
    """Open the keys in a folder, made at the first start; `kind` is of those that are to be made.

    Raises:
        IdentityDamaged: a key cannot be read, or another TPM sealed it.
        KeyUnavailable: the TPM does not answer.
        OutputError: the folder cannot be written.
    """
    path = folder / BOUND
    if path.exists():
        bound = _opened(path)
    elif kind == TPM and not any((folder / name).exists() for name in FILES):
        bound = _made(path)
    else:
        return FileKeyStore(folder), None
    return FileKeyStore(folder, bound.password), bound


def _made(path: Path) -> Bound:
    """Bind a folder that has no keys yet."""
    tpm, secret = Tpm(), secrets.token_bytes(SECRET_BYTES)
    sealed, word = tpm.seal(secret), _counter_password(secret)
    index = tpm.make_counter(word)
    # A new counter cannot be read before it was raised, and does not begin at one.
    tpm.raise_counter(index, word)
    begins = tpm.read_counter(index, word)
    told = {
        "public": base64.b64encode(sealed.public).decode(),
        "private": base64.b64encode(sealed.private).decode(),
        "counter": index,
        "begins": begins,
    }
    # Before any key is: a power cut leaves a folder without keys, and at worst an unused counter in the TPM.
    with written(path, private=True) as part:
        part.write_text(json.dumps(told), encoding="utf-8")
    return Bound(secret.hex(), TpmCounter(tpm, index, word, begins))


def _opened(path: Path) -> Bound:
    try:
        told = read_json(path.read_bytes(), LONGEST)
        halves = (base64.b64decode(str(told[name]), validate=True) for name in ("public", "private"))
        sealed, index, begins = Sealed(*halves), int(str(told["counter"])), int(str(told["begins"]))
    except (OSError, NotStrict, ValueError, KeyError) as exc:
        raise IdentityDamaged(
            f"{path}: cannot be read: {exc}; put the file back from a copy of the state folder"
        ) from exc
    tpm = Tpm()
    secret = tpm.unseal(sealed)
    return Bound(secret.hex(), TpmCounter(tpm, index, _counter_password(secret), begins))


def _counter_password(secret: bytes) -> str:
    """Return what a counter's index is used with: other than the keys' password, 128 bits."""
    return hashlib.sha256(b"veilcam update counter 1\n" + secret).hexdigest()[:32]
