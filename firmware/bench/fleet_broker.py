"""The broker of a load run: Debian's Mosquitto as it is shipped configured, and an authority of its own."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import resource
import shutil
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from importlib.resources import files
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.errors import ConfigError, DriverUnavailable, NetworkUnavailable
from firmware.remote.broker import BrokerOptions

READY_S, SAVED_S, END_S = 10.0, 10.0, 10.0
HOST = "localhost"
DATABASE = "mosquitto.db"


class LoadAuthority:
    """Signs certificates for a day; its methods wait for the disk."""

    def __init__(self, folder: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        """Make an authority in a folder, or take one that is there already; raises ConfigError."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        now = dt.datetime.now(dt.UTC)
        self._span = (now - dt.timedelta(hours=1), now + dt.timedelta(days=1))
        self.certificate = certificate or folder / "authority.pem"
        if certificate is not None and key is not None:
            self._key, self._name = _authority_in(certificate, key)
            return
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _named("veilcam bench")
        made = self._builder(self._name, self._key.public_key(), ca=True).sign(self._key, hashes.SHA256())
        self.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        revoked = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        nobody = revoked.last_update(self._span[0]).next_update(self._span[1])
        (folder / "revoked.pem").write_bytes(
            nobody.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def issue(self, name: str, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> None:
        """Write NAME.pem and NAME.key into the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        told = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self._folder / f"{name}.key").write_bytes(told)
        builder = self._builder(_named(name), key.public_key(), ca=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if usage == ExtendedKeyUsageOID.SERVER_AUTH:
            names = [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        (self._folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))

    def options(self, host: str, port: int, name: str) -> BrokerOptions:
        """Return how whoever has that name meets a broker."""
        pair = (self._folder / f"{name}.pem", self._folder / f"{name}.key")
        return BrokerOptions(host, port, self.certificate, *pair)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), *self._span)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


class LoadBroker:
    """One Mosquitto on loopback; `kill` and `start` it as a power cut would."""

    def __init__(self, folder: Path) -> None:
        """Write its configuration; waits for the disk. Raises DriverUnavailable."""
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if found is None:
            raise DriverUnavailable(
                "a load run needs mosquitto; apt install mosquitto, or name a broker: --broker"
            )
        self._program, self._folder = found, folder
        self.port = _free_port()
        self.authority = LoadAuthority(folder / "pki")
        self.authority.issue("server", ExtendedKeyUsageOID.SERVER_AUTH)
        self._process: Process | None = None
        (folder / "mosquitto.conf").write_text(self._configuration(), encoding="utf-8")

    def _configuration(self) -> str:
        shipped = files("firmware.remote") / "mosquitto"
        told = (shipped / "mosquitto.conf").read_text(encoding="utf-8")
        acl, pki = self._folder / "acl", self._folder / "pki"
        acl.write_text((shipped / "acl").read_text(encoding="utf-8"), encoding="utf-8")
        acl.chmod(0o600)
        for name, value in {
            "LISTEN": f"{self.port} 127.0.0.1",
            "AUTHORITY": self.authority.certificate,
            "CERTIFICATE": pki / "server.pem",
            "KEY": pki / "server.key",
            "REVOKED": pki / "revoked.pem",
            "ACL": acl,
            "DATA": self._folder,
        }.items():
            told = told.replace(f"@{name}@", str(value))
        # As root it would become a user who cannot read this folder.
        return ("user root\n" if os.geteuid() == 0 else "") + told

    async def start(self) -> None:
        """Start it, and wait until it listens; raises NetworkUnavailable."""
        words = (self._program, "-c", str(self._folder / "mosquitto.conf"))
        self._process = await asyncio.create_subprocess_exec(*words, stdout=DEVNULL, stderr=DEVNULL)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (most, most))
        until = time.monotonic() + READY_S
        while self._process.returncode is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.02)
        raise NetworkUnavailable(
            f"mosquitto does not listen on port {self.port}; try: {' '.join(words)}, in a folder of your own"
        )

    async def save(self) -> None:
        """Have it write its database, which it does each minute by itself; raises NetworkUnavailable."""
        database, until = self._folder / DATABASE, time.monotonic() + SAVED_S
        before = await asyncio.to_thread(_written_ns, database)
        self._running.send_signal(signal.SIGUSR1)
        while await asyncio.to_thread(_written_ns, database) == before:
            if time.monotonic() > until:
                raise NetworkUnavailable(f"{database}: mosquitto does not write it; is the disk full?")
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self._running.kill()
        await self._running.wait()
        self._process = None

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_S)
            return
        self._process.kill()

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the broker has not been started")
        return self._process


def _authority_in(certificate: Path, key: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Name]:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        held = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as exc:
        raise ConfigError(f"{certificate}, {key}: cannot be read: {exc}; give PEM files") from exc
    if not isinstance(held, ec.EllipticCurvePrivateKey) or held.public_key() != found.public_key():
        raise ConfigError(f"{key}: is not the elliptic-curve key of {certificate}; give the one that is")
    return held, found.subject


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _written_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
