"""How a camera gets the certificate that brokers know it by.

    request   a key is made here, which never leaves, and a certificate signing request (PKCS#10, RFC 2986)
    install   what an authority made of it: for this very key and name, valid by this clock

A second request makes a second key beside the first, which serves until the new certificate is installed: a
rotation that comes to nothing breaks nothing.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.errors import ConfigError, IdentityDamaged
from firmware.ports import Clock
from firmware.state import written

FOLDER = "remote"
KEY, WANTED, CERTIFICATE = "client.key", "client.key.next", "client.pem"
LONGEST = 64 * 1024
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A certificate that is installed, the key's file, and when it ends (seconds since 1970)."""

    certificate: Path
    key: Path
    ends_s: int
    issuer: str


class Enrolment:
    """The client certificate of one state folder; its methods wait for the disk."""

    def __init__(self, state: Path, device: str, clock: Clock, password: str = "") -> None:
        """Open it; `password` is what keys are encrypted with, where the device's own are, too."""
        self._password = password.encode() or None
        self._folder = state / FOLDER
        self._device = device
        self._clock = clock

    def now(self) -> Enrolled | None:
        """Return what is installed; raises IdentityDamaged where it cannot be read."""
        path = self._folder / CERTIFICATE
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise IdentityDamaged(f"{path}: cannot be read: {exc}; have it signed again") from exc
        ends_s = int(found.not_valid_after_utc.timestamp())
        return Enrolled(path, self._folder / KEY, ends_s, found.issuer.rfc4514_string())

    def request(self) -> str:
        """Return a signing request, PEM, for a key that is made now; raises OutputError."""
        key = ec.generate_private_key(ec.SECP256R1())
        locked = NoEncryption() if self._password is None else BestAvailableEncryption(self._password)
        with written(self._folder / WANTED, private=True) as part:
            part.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._device)])
        made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode()

    def install(self, content: bytes) -> Enrolled:
        """Take the certificate that an authority made of the newest request, and what stands behind it.

        Raises:
            ConfigError: it is not for this key or name, or not of this time.
            OutputError: it cannot be written.
        """
        try:
            chain = x509.load_pem_x509_certificates(content[:LONGEST])
        except ValueError as exc:
            raise ConfigError("that is no certificate; give the PEM file that the authority made") from exc
        wanted = self._folder / WANTED
        # Installing what is installed already, again, is no error.
        path = wanted if wanted.exists() else self._folder / KEY
        if not path.exists():
            raise ConfigError("nothing was asked for; make a request first: veilcam remote request")
        self._require(chain[0], path)
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        with written(self._folder / CERTIFICATE, private=True) as part:
            part.write_bytes(pem)
        if path == wanted:
            wanted.replace(self._folder / KEY)
        enrolled = self.now()
        if enrolled is None:
            raise IdentityDamaged(f"{self._folder / CERTIFICATE}: is gone; install it again")
        return enrolled

    def settle(self) -> None:
        """Finish an installation that a power cut came into: the key that fits the certificate is the key."""
        wanted, path = self._folder / WANTED, self._folder / CERTIFICATE
        if not wanted.exists() or not path.exists():
            return
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            if self._public_of(wanted) == certificate.public_key():
                wanted.replace(self._folder / KEY)
        except (OSError, ValueError, IdentityDamaged):
            return

    def _require(self, certificate: x509.Certificate, key: Path) -> None:
        """Raise ConfigError where a certificate is not what was asked for."""
        if certificate.public_key() != self._public_of(key):
            raise ConfigError("that certificate is for another key; have the newest request signed")
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if [one.value for one in names] != [self._device]:
            raise ConfigError(f"that certificate is for another name; it has to be CN={self._device}")
        now = dt.datetime.fromtimestamp(self._clock.wall_ns() / 1e9, dt.UTC)
        if now >= certificate.not_valid_after_utc:
            raise ConfigError("that certificate has expired; have the request signed again")
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise ConfigError("that certificate is not for a client; sign it with clientAuth")

    def _public_of(self, path: Path) -> object:
        try:
            key = load_pem_private_key(path.read_bytes(), self._password)
        except (OSError, ValueError, TypeError) as exc:
            raise IdentityDamaged(f"{path}: cannot be read: {exc}; make a new request") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentityDamaged(f"{path}: is a key of another kind; make a new request")
        return key.public_key()
