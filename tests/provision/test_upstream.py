"""An upstream address over TLS, and what the machine is told to trust."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.config.model import Manifest
from firmware.provision import fetch, selftest
from firmware.provision.converters import Converter
from firmware.provision.fetch import Outcome
from firmware.provision.tfjs import Array
from tests.provision.conftest import BEST, BODY, NOWHERE, Bench, artefact, manifest
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
    assert bench.fetch().chain == "upstream"
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


PART, MADE = b"what is published" * 40, b"hsilbup si tahw"


def _made_from(url: str) -> Manifest:
    """A model that is converted from one upstream file."""
    source = {"kind": "converted", "converter": "yunet", "inputs": ["1"], "width": 32, "height": 32}
    part = {**artefact(PART, {"kind": "upstream", "url": url}, "part.bin"), "runtime": None}
    return manifest("made", artefact(MADE, {**source, "self_test": [1.0]}, "made.onnx"), part)


@pytest.fixture
def conversion(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Fetches everything, where one more model is made from a file at NOWHERE, or at another address."""
    reverse = Converter(lambda parts: parts[0][:15][::-1], selftest.waves)
    monkeypatch.setattr(fetch, "CONVERTERS", {"yunet": reverse})

    def run(*_: object) -> Mapping[str, Array]:
        return {"cls": np.ones(1)}

    def fetch_all(url: str = NOWHERE, *, inputs_too: bool = False, ask_again: bool = False) -> Outcome:
        bench.manifests["made"] = _made_from(url)
        doing = fetch.Fetch(bench.cache, bench.manifests, run, inputs_too=inputs_too, ask_again=ask_again)
        return doing.fetch(bench.manifests)

    return fetch_all


@pytest.mark.parametrize("inputs_too", [False, True])
def test_a_conversion_without_its_upstream_file_is_done_without(
    bench: Bench, conversion: Callable[..., Outcome], capfd: pytest.CaptureFixture[str], inputs_too: bool
) -> None:
    outcome = conversion(inputs_too=inputs_too)
    assert outcome.lacking == ("best.onnx", "part.bin", "made.onnx")
    assert outcome.chain == "registry"
    assert bench.content("nanodet-g") == BODY
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if "part.bin: cannot reach" in line]) == 1
    (line,) = [line for line in lines if "the model made" in line]
    assert line == "models: going on without the model made: it is made from part.bin"


def test_an_upstream_file_to_convert_is_asked_for_once_a_day(
    conversion: Callable[..., Outcome], capfd: pytest.CaptureFixture[str]
) -> None:
    conversion()
    capfd.readouterr()
    assert conversion().lacking == ("best.onnx", "part.bin", "made.onnx")
    assert "part.bin: not reached today" in capfd.readouterr().err
    conversion(ask_again=True)
    assert "part.bin: cannot reach" in capfd.readouterr().err


def test_an_upstream_file_is_fetched_and_converted(
    bench: Bench,
    conversion: Callable[..., Outcome],
    upstream: tuple[Registry, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, trusted = upstream
    monkeypatch.setenv("PIP_CERT", str(trusted))
    registry.files["/part.bin"] = ("application/octet-stream", PART)
    url = registry.base + "/part.bin"
    outcome = conversion(url)
    assert (outcome.placed["part.bin"], outcome.placed["made.onnx"]) == ("upstream", "converted")
    made = bench.manifests["made"].artefacts["0"]
    assert bench.cache.read(bench.manifests["made"], made) == MADE
    asked = len(registry.asked)
    bench.cache.path(made).unlink()
    assert conversion(url).placed == {"made.onnx": "converted"}
    assert len(registry.asked) == asked


def test_an_upstream_file_to_convert_is_taken_from_a_folder(
    conversion: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "whatever").write_bytes(PART)
    monkeypatch.setenv("VEILCAM_MODELS_FROM", str(folder))
    outcome = conversion()
    assert (outcome.placed["part.bin"], outcome.placed["made.onnx"]) == ("folder", "converted")
    assert outcome.lacking == ("best.onnx",)


def test_a_spoiled_upstream_file_is_not_converted(bench: Bench, conversion: Callable[..., Outcome]) -> None:
    part = _made_from(NOWHERE).artefacts["1"]
    bench.cache.path(part).parent.mkdir(parents=True)
    bench.cache.path(part).write_bytes(bytes(len(PART)))
    assert "made.onnx" in conversion().lacking
