"""Heads reach a real syslog receiver over TLS, and again after it was away."""

import asyncio
import datetime as dt
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.access import anchoring
from firmware.access.anchoring import anchored
from firmware.access.identity import open_identity
from firmware.access.record import read_head
from firmware.audit import EMPTY, Act, Audit
from firmware.config.settings import Settings
from firmware.errors import ConfigError
from firmware.ports import SystemClock
from firmware.remote.syslog import Syslog, check_authority, framed, syslog_of


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """A folder with a certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return tmp_path


@dataclass
class Receiver:
    """An RFC 5425 receiver that can cut its connections."""

    pki: Path
    port: int = 0
    got: list[str] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki / "cert.pem", self.pki / "key.pem")
        server = await asyncio.start_server(self._take, "localhost", self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in list(self.open):
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                length = await reader.readuntil(b" ")
                self.got.append((await reader.readexactly(int(length))).decode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.transport.abort()


async def heads(receiver: Receiver, count: int) -> list[int]:
    async with asyncio.timeout(20):
        while len(receiver.got) < count:
            await asyncio.sleep(0.02)
    return [read_head(message.partition(" - ")[2]).head.n for message in receiver.got]


async def test_every_head_is_handed_over_and_again_after_the_receiver_was_away(
    tmp_path: Path, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "EVERY_S", 0.05)
    monkeypatch.setattr(anchoring, "RETRY_S", 0.1)
    keys = await asyncio.to_thread(lambda: open_identity(tmp_path).keys)
    audit = await asyncio.to_thread(Audit, tmp_path, keys, SystemClock())
    receiver = Receiver(pki)
    async with receiver.listening():
        told = Settings(audit_syslog=f"localhost:{receiver.port}", audit_syslog_ca=pki / "cert.pem")
    find = syslog_of(lambda: told)
    task = asyncio.create_task(anchored(audit, keys, find))
    try:
        await asyncio.sleep(0.3)
        assert audit.kept == EMPTY, "an anchor is named, and has nothing yet"
        async with receiver.listening():
            assert await heads(receiver, 1) == [1]
            await audit.record(Act.RAW_BEGUN, "ada", {})
            assert await heads(receiver, 2) == [1, 2]
        await asyncio.sleep(0.7)
        await audit.record(Act.RAW_ENDED, "ada", {})
        async with receiver.listening():
            assert await heads(receiver, 3) == [1, 2, 3]
            async with asyncio.timeout(10):
                while audit.kept != audit.head:
                    await asyncio.sleep(0.05)
    finally:
        task.cancel()
        anchor = find()
        assert anchor is not None
        anchor.close()
        await asyncio.sleep(0)


async def test_a_receiver_of_another_certificate_gets_nothing(pki: Path) -> None:
    receiver = Receiver(pki)
    async with receiver.listening():
        with pytest.raises(ssl.SSLCertVerificationError):
            await Syslog(f"localhost:{receiver.port}", None).keep("{}")
        assert receiver.got == []


def test_an_authority_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("rubbish")
    for path in (tmp_path / "ca", tmp_path / "none"):
        with pytest.raises(ConfigError, match="audit_syslog_ca"):
            check_authority(Settings(audit_syslog_ca=path))


RSYSLOG = """
global(workDirectory="{dir}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{dir}/cert.pem" defaultNetstreamDriverCertFile="{dir}/cert.pem"
  defaultNetstreamDriverKeyFile="{dir}/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="r")
template(name="json" type="list") {{ property(name="jsonmesg") constant(value="\\n") }}
ruleset(name="r") {{ action(type="omfile" file="{dir}/out.jsonl" template="json" asyncWriting="off") }}
"""


@contextmanager
def rsyslog(folder: Path, port: int) -> Iterator[None]:
    (folder / "rs.conf").write_text(RSYSLOG.format(dir=folder, port=port))
    command = ["/usr/sbin/rsyslogd", "-n", "-f", str(folder / "rs.conf"), "-i", str(folder / "rs.pid")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("rsyslogd", path="/usr/sbin") is None, reason="no rsyslog here")
async def test_rsyslog_reads_it(pki: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    out = pki / "out.jsonl"
    with rsyslog(pki, port):
        anchor = Syslog(f"localhost:{port}", pki / "cert.pem")
        async with asyncio.timeout(20):
            while not out.exists() or not out.read_text():
                try:
                    await anchor.keep('{"n": 7}')
                except OSError:
                    await asyncio.sleep(0.1)
        anchor.close()
    told = json.loads(out.read_text().splitlines()[0])
    assert (told["programname"], told["msgid"], told["msg"]) == ("veilcam", "audit-head", '{"n": 7}')
    assert (told["syslogfacility"], told["syslogseverity"]) == ("13", "6")


def test_the_length_goes_before() -> None:
    length, _, message = framed("{}").partition(b" ")
    assert int(length) == len(message)
    assert message.startswith(b"<110>1 ")
