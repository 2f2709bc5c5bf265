"""Who this device is: a name made of its signing key, and a TLS certificate of its own."""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware.access.keystore import FileKeyStore
from firmware.access.sealing import FILE, open_keys
from firmware.errors import IdentityDamaged
from firmware.ports import Counter, KeyStore
from firmware.state import written

FOLDER = "identity"
CERTIFICATE = "tls.pem"

BEGINS = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
ENDS = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""A device whose clock starts in 1970 must not make a certificate of the past, and on a wall for ten years it
must not run out; IEEE 802.1AR, section 8.7, writes the end so."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate and its key, PEM files; the password is the key's, where it is encrypted."""

    certificate: Path
    key: Path
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """The device's keys and what is made of them."""

    keys: KeyStore
    tls: TlsFiles
    tls_fingerprint: str
    """SHA-256 of the device's own certificate, as browsers show it."""
    counter: Counter | None = None
    """Counts the records of updates, where the keys are bound to hardware."""

    @property
    def fingerprint(self) -> str:
        """Return what names this device: see `fingerprint_of`."""
        return fingerprint_of(self.keys.signing_public)


def fingerprint_of(public: bytes) -> str:
    """Return the SHA-256 of a public key as eight groups of eight hex digits, to be read out and compared."""
    digits = hashlib.sha256(public).hexdigest()
    return "-".join(digits[n : n + 8] for n in range(0, len(digits), 8))


def open_identity(state: Path, names: Sequence[str] = (), kind: str = FILE) -> Identity:
    """Return the identity in a state folder, made at the first start; `names` are hosts it is reached by.

    `kind` is of keys that are to be made, `file` or `tpm`; those that are there say themselves what they are.

    Raises:
        IdentityDamaged: a key is there and cannot be read.
        KeyUnavailable: the TPM that the keys are bound to, or are to be, does not answer.
        OutputError: the folder cannot be written.
    """
    folder = state / FOLDER
    keys, bound = open_keys(folder, kind)
    path = folder / CERTIFICATE
    certificate = _certificate(path, keys, sorted({*names, "localhost", "127.0.0.1", "::1"}))
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    if bound is None:
        return Identity(keys, TlsFiles(path, keys.tls_key_file), digest)
    return Identity(keys, TlsFiles(path, keys.tls_key_file, bound.password), digest, bound.counter)


def known_identity(state: Path) -> Identity | None:
    """Return the identity in a state folder if there is one; makes nothing; raises as `open_identity`."""
    return open_identity(state) if (state / FOLDER / CERTIFICATE).is_file() else None


def _certificate(path: Path, keys: FileKeyStore, names: Sequence[str]) -> x509.Certificate:
    """Return the device's certificate, made anew where there is none or it lacks a name."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as exc:
        raise IdentityDamaged(f"{path}: cannot be read: {exc}; delete it, and a new one is made") from exc
    ours = found is not None and found.public_key() == keys.tls_key.public_key()
    if found is not None and ours and set(names) <= set(_names_in(found)):
        return found
    made = _made(keys, names)
    with written(path, private=True) as part:
        part.write_bytes(made.public_bytes(Encoding.PEM))
    return made


def _made(keys: FileKeyStore, names: Sequence[str]) -> x509.Certificate:
    title = f"veilcam {fingerprint_of(keys.signing_public)[:17]}"
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, title)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(keys.tls_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
        .add_extension(usage, critical=False)
        .sign(keys.tls_key, hashes.SHA256())
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_in(certificate: x509.Certificate) -> Iterator[str]:
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from held.get_values_for_type(x509.DNSName)
    yield from map(str, held.get_values_for_type(x509.IPAddress))
