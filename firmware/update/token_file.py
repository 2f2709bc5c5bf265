"""The files that stand in a repository for keys in a token: `root-1.p11` says where `root-1` is.

JSON with four words: the path of the PKCS#11 module, the labels of token and key, and the public key (PEM).
So whose signature is needed can be told, and what was signed checked, without the token.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from firmware.core.strict_json import NotStrict, read_json
from firmware.state import written

SUFFIX = ".p11"
LONGEST = 16_384
WORDS = ("module", "token", "key", "public")

Public: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey


class Algorithm(StrEnum):
    """What a key in a token signs with."""

    ED25519 = "ed25519"
    P256 = "p256"


@dataclass(frozen=True, slots=True)
class Place:
    """A token that new keys are made in, and of which kind."""

    module: str
    token: str
    algorithm: Algorithm = Algorithm.ED25519


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key in a token."""

    module: str
    token: str
    key: str
    public: Public

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return Algorithm.ED25519 if isinstance(self.public, Ed25519PublicKey) else Algorithm.P256


def read_token_key(path: Path) -> TokenKey:
    """Read a file; raises OSError, ValueError, UnsupportedAlgorithm."""
    told = read_json(path.read_bytes(), LONGEST)
    words = [told.get(word) for word in WORDS]
    if set(told) != set(WORDS) or not all(isinstance(word, str) and word for word in words):
        raise NotStrict(f"it has to say {', '.join(WORDS)}, and nothing else")
    module, token, key, pem = map(str, words)
    if not Path(module).is_absolute():
        raise NotStrict("its module has to be a whole path")
    public = load_pem_public_key(pem.encode())
    if isinstance(public, Ed25519PublicKey) or (
        isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    ):
        return TokenKey(module, token, key, public)
    raise NotStrict("its public key is neither Ed25519 nor P-256")


def write_token_key(path: Path, made: TokenKey) -> None:
    """Write a file; raises OutputError."""
    pem = made.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    told = dict(zip(WORDS, (made.module, made.token, made.key, pem), strict=True))
    with written(path, private=True) as part:
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
