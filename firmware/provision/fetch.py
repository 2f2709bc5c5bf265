"""Fills the model cache: what is there stays, then a folder at hand, then the network, then conversion.

A file that only its authors' own address has is optional, since many machines reach package registries
alone: where it cannot be had, one line says so and the next chain of models runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from firmware.config.model import (
    Artefact,
    ConvertedSource,
    Manifest,
    ModelCache,
    NpmSource,
    PypiSource,
    UpstreamSource,
    choose_chain,
)
from firmware.errors import ConfigError, NetworkUnavailable, WrongHash
from firmware.provision.converters import CONVERTERS
from firmware.provision.progress import say
from firmware.provision.selftest import RunsModel, check
from firmware.provision.sources import Folder, Sources
from firmware.provision.store import Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fetch did: files by where they came from, files not to be had here, and the chain to run."""

    placed: Mapping[str, str]
    lacking: tuple[str, ...]
    chain: str


@dataclass(slots=True)
class Fetch:
    """One fetch into one cache; `run` runs a model once for its self-test."""

    cache: ModelCache
    manifests: Mapping[str, Manifest]
    run: RunsModel
    inputs_too: bool = False
    """Also bring files that are only needed to convert others."""
    ask_again: bool = False
    """Also ask addresses that were not reached earlier today; without it a start costs no time-out."""
    placed: dict[str, str] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)

    def fetch(self, names: Iterable[str]) -> Outcome:
        """Bring everything that the named models need.

        Raises:
            ModelError: a file is wrong, or cannot be had and is not optional.
            OutputError: the cache cannot be written.
        """
        store = Store(self.cache)
        wanted = [artefact for name in names for artefact in self._wanted(self.manifests[name])]
        missing = [artefact for artefact in wanted if not store.sound(artefact)]
        if missing:
            folder = Folder.of_environment()
            with store.alone():
                # Another fetch may have brought them while we waited.
                self._bring([a for a in missing if not store.sound(a)], store, Sources(store, folder))
                store.tidy()
        return Outcome(self.placed, tuple(self.lacking), choose_chain(self.cache, self.manifests).name)

    def _wanted(self, manifest: Manifest) -> list[Artefact]:
        inputs = {name for artefact in manifest.artefacts.values() for name in _inputs(artefact)}
        return [a for name, a in manifest.artefacts.items() if self.inputs_too or name not in inputs]

    def _bring(self, missing: Sequence[Artefact], store: Store, sources: Sources) -> None:
        away = [artefact for artefact in missing if not self._at_hand(artefact, store, sources)]
        conversions = [artefact for artefact in away if isinstance(artefact.source, ConvertedSource)]
        needed = {part.sha256: part for artefact in conversions for part in self._parts(artefact)}
        inputs = [p for p in needed.values() if not store.sound(p) and not self._at_hand(p, store, sources)]
        wanted = {artefact.sha256: artefact for artefact in (*away, *inputs)}.values()
        for artefact in wanted:
            if isinstance(artefact.source, UpstreamSource):
                self._upstream(artefact, artefact.source, store, sources)
        self._archives(wanted, sources)
        for artefact in conversions:
            self._convert(artefact, store)

    def _at_hand(self, artefact: Artefact, store: Store, sources: Sources) -> bool:
        found = sources.at_hand(artefact)
        if found:
            self.placed[artefact.file] = "folder"
            self._self_test(artefact, store)
        return found

    def _upstream(self, artefact: Artefact, source: UpstreamSource, store: Store, sources: Sources) -> None:
        if not self.ask_again and store.asked_lately(artefact):
            self.lacking.append(artefact.file)
            say(f"going on without {artefact.file}: not reached today; ask again by naming its model")
            return
        try:
            sources.upstream(artefact, source)
        except (NetworkUnavailable, WrongHash) as exc:
            # A gateway's own page in the file's place counts as not reached; the wrong bytes are gone.
            self.lacking.append(artefact.file)
            store.note_asked(artefact)
            say(f"going on without {artefact.file}: {exc}")
        else:
            self.placed[artefact.file] = "upstream"

    def _archives(self, artefacts: Iterable[Artefact], sources: Sources) -> None:
        """Bring what lies in archives, each archive once."""
        archives: dict[str, dict[str, Artefact]] = defaultdict(dict)
        for artefact in artefacts:
            if isinstance(artefact.source, PypiSource | NpmSource):
                archives[artefact.source.archive_sha256][artefact.sha256] = artefact
        for members in archives.values():
            together = list(members.values())
            source = together[0].source
            if isinstance(source, PypiSource | NpmSource):
                say(f"fetching {', '.join(a.file for a in together)} from {source.package} {source.version}")
                sources.archive(source, together)
                self.placed |= {artefact.file: source.kind for artefact in together}

    def _model(self, artefact: Artefact) -> Manifest:
        return next(m for m in self.manifests.values() if artefact in m.artefacts.values())

    def _parts(self, artefact: Artefact) -> list[Artefact]:
        """Return what an artefact is converted from."""
        manifest = self._model(artefact)
        try:
            return [manifest.artefacts[name] for name in _inputs(artefact)]
        except KeyError as exc:
            raise ConfigError(
                f"models/{manifest.name}.toml: {artefact.file} is made from {exc}, which is no artefact there"
            ) from exc

    def _convert(self, artefact: Artefact, store: Store) -> None:
        source, parts = artefact.source, self._parts(artefact)
        # Only what an upstream address keeps from us can be lacking here; all else would have been an error.
        if lacking := [part.file for part in parts if not store.sound(part)]:
            self.lacking.append(artefact.file)
            say(f"going on without the model {self._model(artefact).name}: it is made from {lacking[0]}")
        elif isinstance(source, ConvertedSource):
            say(f"converting {artefact.file}")
            files = [self.cache.path(part).read_bytes() for part in parts]
            made = CONVERTERS[source.converter].convert(files)
            store.put(artefact, made, "its converter")
            self.placed[artefact.file] = "converted"
            self._self_test(artefact, store)

    def _self_test(self, artefact: Artefact, store: Store) -> None:
        """Run a converted model once."""
        source = artefact.source
        if isinstance(source, ConvertedSource):
            probe = CONVERTERS[source.converter].probe(source.width, source.height)
            check(self.run, store.cache.path(artefact), probe, source.self_test)


def _inputs(artefact: Artefact) -> tuple[str, ...]:
    return artefact.source.inputs if isinstance(artefact.source, ConvertedSource) else ()
