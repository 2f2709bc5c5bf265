"""Model manifests (`models/*.toml`), the content-addressed cache of model files, and chains of models."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from firmware.config.strict import Strict, explain, read_toml
from firmware.core.cuts import Sight
from firmware.core.frames import Kind
from firmware.core.heads.found import Wanted
from firmware.errors import ConfigError, ModelMissing, WrongHash
from firmware.resources import models_dir

Looks: TypeAlias = Literal[
    "whole", "far_and_near", "close", "whole_and_sixths", "people", "people_and_halves"
]
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
    converter: Literal["nanodet", "yunet", "yolox-tflite", "yolox-onnx"]
    inputs: tuple[str, ...]
    width: int = Field(gt=0)
    """Width and height of the self-test's input in pixels; the file takes any size."""
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
    segment: int = Field(default=0, ge=0, le=7)
    """Of a model in several files, which one: each takes what the one before it gives."""
    source: Source


class Scores(Strict):
    """Scores, 0 to 1, from which a network is believed; no two networks' are alike."""

    realtime: float = Field(gt=0, lt=1)
    """The least that counts when looking live."""
    thorough: float = Field(gt=0, lt=1)
    """The least that counts when each picture is looked at many times."""
    sure: float = Field(gt=0, lt=1)
    """From here one of those many looks is enough; below, a second one must agree."""

    @model_validator(mode="after")
    def _sure_is_more(self) -> Self:
        if self.sure < self.thorough:
            raise ValueError("sure is below thorough: every look would be sure")
        return self


class Finds(Scores):
    """The same for one kind of thing, and what is told of it besides."""

    headless: Scores | None = None
    """For a person without a head, where the network knows heads."""
    smallest: int | None = Field(default=None, gt=0)
    """Height in pixels of the input from which on a live look found all of them (`veilcam bench sizes`)."""
    drawn: float = Field(default=1.0, gt=0.5, le=1)
    """How large the thing itself is in the box that the network draws; some draw wider than what is there."""

    def live(self) -> Wanted:
        """Return what counts when looking live."""
        return Wanted(self.realtime, self.headless.realtime if self.headless else 0, self.drawn)

    def many(self) -> Wanted:
        """Return what counts when each picture is looked at many times."""
        return Wanted(self.thorough, self.headless.thorough if self.headless else 0, self.drawn)


class InputSize(Strict):
    """Size of a network's input in pixels."""

    width: int = Field(gt=0, le=4096)
    height: int = Field(gt=0, le=4096)


class Manifest(Strict):
    """One `models/NAME.toml`."""

    name: str
    title: str
    head: Literal["yunet", "centerface", "blazeface", "nanodet", "yolox", "ssd", "picture"]
    finds: dict[Kind, Finds] = Field(default_factory=dict)
    """What it finds, and the scores that count; nothing for a picture that is only shown."""
    licence: str
    homepage: str
    realtime: InputSize | None = None
    """Input size for live pictures; a file that fixes another size is for other uses."""
    realtime_small: InputSize | None = None
    """The same on a board that asks for small looks; where there is none, `realtime`."""
    looks: Looks = "whole"
    """Which looks of a thorough pace it takes; `redact.views` describes them."""
    artefacts: dict[str, Artefact]

    def live(self) -> dict[Kind, Wanted]:
        """Return what counts when looking live."""
        return {kind: found.live() for kind, found in self.finds.items()}

    def many(self) -> dict[Kind, Wanted]:
        """Return what counts when each picture is looked at many times."""
        return {kind: found.many() for kind, found in self.finds.items()}


class Chain(Strict):
    """Models that work together; the first chain that has all files of its live models is taken."""

    name: str
    faces: tuple[str, ...] = Field(min_length=1)
    people: tuple[str, ...] = Field(min_length=1)
    thorough: tuple[str, ...] = ()
    """More models for a thorough pace, as far as they are here."""

    @property
    def live(self) -> tuple[str, ...]:
        """The models that look live."""
        return (*self.faces, *self.people)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on this machine, the input that pictures are cut for (None: each as it is) and what counts.

    `read` returns the file's bytes, verified: a file that is hashed first and read again by its path may have
    been exchanged in between. It raises ModelMissing and WrongHash.
    """

    manifest: Manifest
    read: Callable[[], bytes]
    sight: Sight | None
    wanted: Mapping[Kind, Wanted]
    rest: tuple[Callable[[], bytes], ...] = ()
    """The same for the segments after the first."""

    @property
    def fixed(self) -> tuple[int, int] | None:
        """Width and height of the one input that the file takes; None where it takes any."""
        return None if self.sight is None or self.sight.grows else (self.sight.width, self.sight.height)


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

    def read(self, manifest: Manifest, artefact: Artefact) -> bytes:
        """Return the content of a file, which is what was verified.

        Raises:
            ModelMissing: set-up has not brought it.
            WrongHash: the file is not what the manifest states.
        """
        path = self.path(artefact)
        try:
            with path.open("rb") as file:
                data = file.read(artefact.bytes + 1)
        except OSError as exc:
            raise ModelMissing(
                f"model {manifest.name}: {artefact.file} is not in {self.root}; run scripts/fetch-models"
            ) from exc
        if hashlib.sha256(data).hexdigest() != artefact.sha256:
            raise WrongHash(
                f"model {manifest.name}: {path} does not have SHA-256 {artefact.sha256}; "
                "delete it and run scripts/fetch-models"
            )
        return data

    def complete(self, chain: Chain, manifests: Mapping[str, Manifest]) -> bool:
        """Tell whether every runnable file of the chain's live models is there."""
        return all(self.has_model(manifests[name]) for name in chain.live)

    def has_model(self, manifest: Manifest) -> bool:
        """Tell whether every runnable file of a model is there."""
        return all(self.has(artefact) for artefact in manifest.artefacts.values() if artefact.runtime)


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
    if name != "auto":
        lacking = [one for one in chains[0].live if not cache.has_model(manifests[one])]
        raise ModelMissing(
            f"model chain {name!r} lacks {' and '.join(lacking)} in {cache.root}; run: veilcam models fetch "
            f"{' '.join(lacking)}"
        )
    raise ModelMissing(f"no model chain is complete in {cache.root}; run scripts/fetch-models")
