"""An upstream address over TLS, and what the machine is told to trust."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.provision.conftest import BEST, Bench, artefact, manifest
from tests.provision.registry_server import Registry, serving


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[tuple[Registry, Path]]:
    """A server on loopback with a certificate of its own; yields it and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, both = tmp_path / "trusted.pem", tmp_path / "both.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(trusted.read_bytes() + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with serving(Registry(), context) as registry:
        yield registry, trusted


def _point_at(bench: Bench, registry: Registry, body: bytes) -> None:
    registry.files["/best.onnx"] = ("application/octet-stream", body)
    source = {"kind": "upstream", "url": registry.base + "/best.onnx"}
    bench.manifests["yunet"] = manifest("yunet", artefact(BEST, source, "best.onnx"))


def test_the_better_chain_is_taken_where_upstream_answers(
    bench: Bench, upstream: tuple[Registry, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, trusted = upstream
    monkeypatch.setenv("PIP_CERT", str(trusted))
    _point_at(bench, registry, BEST)
    assert bench.fetch().chain == "yunet"
    assert bench.content("yunet") == BEST


def test_an_untrusted_certificate_counts_as_not_reached(
    bench: Bench, upstream: tuple[Registry, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_CERT", raising=False)
    _point_at(bench, upstream[0], BEST)
    assert bench.fetch().chain == "registry"


@pytest.mark.parametrize("body", [b"<html>please log in</html>", BEST[:-1] + b"?", BEST + b"more"])
def test_other_bytes_than_stated_count_as_not_reached(
    bench: Bench, upstream: tuple[Registry, Path], monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    registry, trusted = upstream
    monkeypatch.setenv("PIP_CERT", str(trusted))
    _point_at(bench, registry, body)
    outcome = bench.fetch()
    assert outcome.chain == "registry"
    (entry,) = bench.manifests["yunet"].artefacts.values()
    assert not bench.cache.has(entry)
