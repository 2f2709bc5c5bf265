"""Puts verified files into the model cache so that a power cut leaves the whole file or none."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from firmware.config.model import Artefact, ModelCache, sha256_of
from firmware.errors import OutputError, WrongHash
from firmware.provision.progress import say
from firmware.state import locked, written

ASKED_S = 86_400.0


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into OutputError."""
    try:
        yield
    except OSError as exc:
        raise OutputError(
            f"cannot write {path}: {exc.strerror or exc}; free space or choose another folder with --cache"
        ) from exc


@dataclass(frozen=True, slots=True)
class Store:
    """The writing side of a ModelCache."""

    cache: ModelCache

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cache, so that two set-ups at once do the work once; the kernel lets go if we die."""
        with contextlib.ExitStack() as held:
            with writing(self.cache.root):
                self.cache.root.mkdir(parents=True, exist_ok=True)
                waiting = partial(say, "another fetch is at work; waiting for it")
                held.enter_context(locked(self.cache.root / "lock", waiting))
            yield

    def sound(self, artefact: Artefact) -> bool:
        """Tell whether the file is there, whole and unaltered."""
        return self.cache.has(artefact) and sha256_of(self.cache.path(artefact)) == artefact.sha256

    def part(self, sha256: str) -> Path:
        """Return where a file of that hash grows while it is downloaded."""
        folder = self.cache.root / "partial"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{sha256}.part"

    def put(self, artefact: Artefact, data: bytes, origin: str) -> None:
        """Place bytes that are the artefact; raises WrongHash where they are not, and OutputError."""
        got = hashlib.sha256(data).hexdigest()
        if len(data) != artefact.bytes or got != artefact.sha256:
            raise WrongHash(
                f"{artefact.file} from {origin} has {len(data)} bytes and SHA-256 {got}, expected "
                f"{artefact.bytes} and {artefact.sha256}; do not use that source"
            )
        final = self.cache.path(artefact)
        with written(final) as part, writing(final):
            part.write_bytes(data)

    def note_asked(self, artefact: Artefact) -> None:
        """Remember that an optional file could not be had."""
        with writing(self._asked(artefact)):
            self._asked(artefact).touch()

    def asked_lately(self, artefact: Artefact) -> bool:
        """Tell whether that was less than a day ago."""
        path = self._asked(artefact)
        return path.exists() and 0 <= time.time() - path.stat().st_mtime < ASKED_S

    def _asked(self, artefact: Artefact) -> Path:
        return self.cache.root / f"asked-{artefact.sha256}"

    def tidy(self) -> None:
        """Drop what a power cut left, and the folder of partial downloads where it holds nothing."""
        with contextlib.suppress(OSError):
            for left in (self.cache.root / "sha256").glob(".*.part"):
                left.unlink()
            (self.cache.root / "partial").rmdir()

    def require_room(self, size: int) -> None:
        """Refuse to begin what cannot fit; raises OutputError."""
        free = shutil.disk_usage(self.cache.root).free
        if size > free:
            raise OutputError(
                f"{self.cache.root} has {free >> 20} MiB free and {size >> 20} MiB are needed; free space or "
                "choose another folder with --cache"
            )
