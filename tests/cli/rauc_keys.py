"""Certificates as RAUC wants them: a CA, a signer, two devices; and another CA."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = EllipticCurvePrivateKey | RSAPrivateKey


def usage(*, signs: bool = False, wraps: bool = False, certifies: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=wraps,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


class Ca:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self._key = folder, name, generate_private_key(SECP256R1())
        self._make(name, self._key, usage(certifies=True), ca=True)

    def device(self, name: str) -> None:
        """Certify somebody whom bundles are encrypted for."""
        self._make(name, generate_rsa(65537, 2048), usage(wraps=True))

    def signer(self, name: str) -> None:
        """Certify somebody who signs bundles."""
        self._make(name, generate_private_key(SECP256R1()), usage(signs=True))

    def _make(self, name: str, key: Key, use: x509.KeyUsage, *, ca: bool = False) -> None:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(use, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if use.digital_signature:
            mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(mail, critical=False)
        made = builder.sign(self._key, SHA256())
        (self._folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self._folder / f"{name}.key").write_bytes(content)


def make_rauc_keys(folder: Path) -> None:
    """Make all of them, as NAME.pem and NAME.key."""
    ca = Ca(folder, "ca")
    ca.signer("signer")
    for name in ("device", "device2", "stranger"):
        ca.device(name)
    Ca(folder, "other").signer("other-signer")
