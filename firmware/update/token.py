"""Signs with keys that never leave a token: PKCS#11, by python-pkcs11.

A token that is not there, is locked or refuses ends the signing with one line that says what to do. What a
token signed is verified before it is believed: a wrong key under the right label is found here, not in the
field.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import final

import pkcs11
import pkcs11.exceptions as refusals
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from firmware.errors import KeyUnavailable
from firmware.update.token_file import Algorithm, Place, Public, TokenKey

ED25519_BYTES, P256_BYTES = 32, 65
CURVES: Mapping[Algorithm, tuple[KeyType, bytes]] = {
    # RFC 8410, section 3; RFC 5480, section 2.1.1.1.
    Algorithm.ED25519: (KeyType.EC_EDWARDS, encode_named_curve_parameters("1.3.101.112")),
    Algorithm.P256: (KeyType.EC, encode_named_curve_parameters("secp256r1")),
}
SIGNS: Mapping[Algorithm, Mechanism] = {
    Algorithm.ED25519: Mechanism.EDDSA,
    Algorithm.P256: Mechanism.ECDSA,
}
MAKES: Mapping[Algorithm, Mechanism] = {
    Algorithm.ED25519: Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
    Algorithm.P256: Mechanism.EC_KEY_PAIR_GEN,
}
WRONG_PIN = "the PIN is wrong; give the right one, for too many wrong ones lock the token"
TOLD: Mapping[type[pkcs11.PKCS11Error], str] = {
    refusals.PinIncorrect: WRONG_PIN,
    refusals.PinInvalid: WRONG_PIN,
    refusals.PinLenRange: WRONG_PIN,
    refusals.PinLocked: "is locked after too many wrong PINs; unlock it with its own tool",
    refusals.PinExpired: "its PIN has expired; set another with its own tool",
    refusals.UserPinNotInitialized: "has no PIN yet; set one with its own tool",
    refusals.NoSuchToken: "is not there; insert it, and look at its label with its own tool",
    refusals.TokenNotPresent: "is not there; insert it and try again",
    refusals.DeviceRemoved: "was taken away; insert it and try again",
    refusals.MultipleTokensReturned: "is there twice; leave one inserted",
    refusals.MechanismInvalid: "has no such kind of key; use --algorithm p256, or another token",
}


class Tokens:
    """Sessions on tokens, one each; a PIN is asked once, when a key is first needed."""

    def __init__(self, pin: Callable[[str], str]) -> None:
        self._pin = pin
        self._sessions: dict[tuple[str, str], pkcs11.Session] = {}

    def signer(self, key: TokenKey) -> "TokenSigner":
        """Return what signs with a key; the token is needed only when it does."""
        return TokenSigner(key, self)

    def log_in(self, module: str, token: str) -> pkcs11.Session:
        """Return the session on a token; raises KeyUnavailable."""
        if (module, token) not in self._sessions:
            with _told(token):
                found = _token(module, token)
                # To be written to, too: a token has one login for a program, and that has one session.
                self._sessions[module, token] = found.open(rw=True, user_pin=self._pin(token))
        return self._sessions[module, token]

    def make(self, place: Place, label: str) -> TokenKey:
        """Make a key that the token never gives away; raises KeyUnavailable."""
        session, algorithm = self.log_in(place.module, place.token), place.algorithm
        kind, curve = CURVES[algorithm]
        with _told(place.token):
            # A token takes two keys of one label, and nobody could tell them apart.
            if any(session.get_objects({Attribute.LABEL: label})):
                raise KeyUnavailable(
                    f"token {place.token!r}: there is a key {label!r} already; delete it with the token's "
                    "own tool, or give the repository another name"
                )
            parameters = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
            public, _ = parameters.generate_keypair(
                id=secrets.token_bytes(8),
                label=label,
                store=True,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                mechanism=MAKES[algorithm],
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
            point = bytes(public[Attribute.EC_POINT])
        return TokenKey(place.module, place.token, label, _public(point, algorithm))

    def sign(self, key: TokenKey, payload: bytes) -> bytes:
        """Return a signature as TUF writes it; raises KeyUnavailable."""
        session, mechanism = self.log_in(key.module, key.token), SIGNS[key.algorithm]
        with _told(key.token, key.key):
            private = session.get_key(ObjectClass.PRIVATE_KEY, label=key.key)
            if not isinstance(private, pkcs11.SignMixin):
                raise refusals.NoSuchKey
            if key.algorithm is Algorithm.ED25519:
                return bytes(private.sign(payload, mechanism=mechanism))
            raw = bytes(private.sign(hashlib.sha256(payload).digest(), mechanism=mechanism))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def close(self) -> None:
        """Log out everywhere."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()


@final
class TokenSigner(Signer):
    """One key in a token, as securesystemslib signs with it."""

    def __init__(self, key: TokenKey, tokens: Tokens) -> None:
        self._key = key
        self._tokens = tokens
        self._public = SSlibKey.from_crypto(key.public)

    @property
    def public_key(self) -> SSlibKey:
        """The other half, as the `.p11` file has it."""
        return self._public

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> "TokenSigner":
        """Refuse: a `.p11` file names a key, and no address does."""
        raise ValueError(f"{priv_key_uri}: name the key by a .p11 file")

    def sign(self, payload: bytes) -> Signature:
        """Return the token's signature; raises KeyUnavailable, also where it is not this key's."""
        signature = Signature(self._public.keyid, self._tokens.sign(self._key, payload).hex())
        try:
            self._public.verify_signature(signature, payload)
        except UnverifiedSignatureError as exc:
            raise KeyUnavailable(
                f"token {self._key.token!r}: its key {self._key.key!r} is not the one of the repository; "
                "insert the right token"
            ) from exc
        return signature


@contextmanager
def _told(token: str, key: str = "") -> Iterator[None]:
    """Turn what a token refuses into one line."""
    try:
        yield
    except refusals.NoSuchKey as exc:
        raise KeyUnavailable(f"token {token!r}: has no key {key!r}; insert the right token") from exc
    except pkcs11.PKCS11Error as exc:
        why = TOLD.get(type(exc), f"{type(exc).__name__} {exc}".strip() + "; look at it with its own tool")
        raise KeyUnavailable(f"token {token!r}: {why}") from exc


def _token(module: str, label: str) -> pkcs11.Token:
    try:
        library = pkcs11.lib(module)
    except RuntimeError as exc:
        raise KeyUnavailable(
            f"token {label!r}: {module} cannot be loaded: {exc}; install the token's PKCS#11 module"
        ) from exc
    return library.get_token(token_label=label)


def _public(point: bytes, algorithm: Algorithm) -> Public:
    """Read EC_POINT: an OCTET STRING around the point, which some tokens leave out."""
    if algorithm is Algorithm.ED25519:
        return Ed25519PublicKey.from_public_bytes(point[-ED25519_BYTES:])
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point[-P256_BYTES:])
