"""Versions in folders and one link that says which one runs: boot control for machines without slots.

    slots/versions/<release>/…       each complete, or not there at all
    slots/current  ─▶ versions/…     what runs, once it has been confirmed
    slots/next     ─▶ versions/…     what is to be tried at the next start, once
    slots/trying   ─▶ versions/…     what is being tried: at the start after that it is given up
    slots/failed   ─▶ versions/…     what was given up, until somebody has taken note of it

Every link is replaced by a rename, every folder takes its place by one: a power cut leaves old or new.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from firmware.errors import UpdateError
from firmware.update.boot.port import PAYLOAD
from ota.release import Release

VERSIONS, CURRENT, NEXT, TRYING, FAILED = "versions", "current", "next", "trying", "failed"
PART = ".part-"


class DirectorySlots:
    """The versions of one folder; its methods wait for the disk and raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / VERSIONS).mkdir(parents=True, exist_ok=True)

    def require_able(self) -> None:
        """Do nothing: folders and links are everywhere."""

    def running(self) -> str | None:
        """Return the release that this start was made with; None where it is none of ours."""
        return self._target(TRYING) or self._target(CURRENT)

    def confirmed(self) -> str | None:
        """Return the release that a start takes where nothing is to be tried."""
        return self._target(CURRENT)

    def on_trial(self) -> str | None:
        """Return the release that is being tried."""
        return self._target(TRYING)

    def failed(self) -> str | None:
        """Return the release that was given up and not taken note of."""
        return self._target(FAILED)

    def noted(self) -> None:
        """Take note of what was given up."""
        self._unlink(FAILED)

    def has(self, release: str) -> bool:
        """Say whether a release is here, complete."""
        return (self.folder / VERSIONS / release).is_dir()

    def tree(self, release: str) -> Path | None:
        """Return the folder that a release lies in, complete; deltas are read against it."""
        return self.folder / VERSIONS / release if self.has(release) else None

    @contextlib.contextmanager
    def writing(self, release: Release) -> Iterator[Path]:
        """Give a folder to write a release to; at the end of the block it takes its place, whole."""
        self.tidy()
        part = self.folder / VERSIONS / f"{PART}{release.id}"
        part.mkdir(mode=0o700)
        try:
            yield part
            (part / PAYLOAD).unlink(missing_ok=True)
            part.chmod(0o755)
            part.rename(self.folder / VERSIONS / release.id)
            _sync(self.folder / VERSIONS)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def arm(self, release: str) -> None:
        """Have a release tried at the next start."""
        self._link(NEXT, release)

    def disarm(self) -> None:
        """Take back what was armed."""
        self._unlink(NEXT)

    def boot(self) -> Path | None:
        """Choose what this start runs, and note it; None where there is nothing yet.

        Called once by whoever starts the camera. What was being tried and did not confirm itself is given up.
        """
        tried = self.folder / TRYING
        if tried.is_symlink():
            tried.rename(self.folder / FAILED)
            _sync(self.folder)
        armed = self.folder / NEXT
        if armed.is_symlink():
            armed.rename(self.folder / TRYING)
            _sync(self.folder)
        release = self.running()
        return None if release is None else self.folder / VERSIONS / release

    def restart(self) -> None:
        """Refuse: a start of the camera is enough; raises UpdateError."""
        raise UpdateError(
            "this board tries a version at the next start of the camera; restart the camera alone"
        )

    def confirm(self, release: str) -> None:
        """Have every later start take the release that is being tried."""
        self._link(CURRENT, release)
        self._unlink(TRYING)

    def keep(self, releases: set[str]) -> list[str]:
        """Remove every other release, and return which; what runs stays whatever is said."""
        stays = releases | {name for name in (self.running(), self.confirmed()) if name}
        gone = [path.name for path in (self.folder / VERSIONS).iterdir() if path.name not in stays]
        for name in gone:
            shutil.rmtree(self.folder / VERSIONS / name)
        return gone

    def tidy(self) -> None:
        """Remove what a power cut left half written."""
        for path in (self.folder / VERSIONS).glob(f"{PART}*"):
            shutil.rmtree(path)

    def _target(self, name: str) -> str | None:
        try:
            release = (self.folder / name).readlink().name
        except OSError:
            return None
        return release if self.has(release) else None

    def _link(self, name: str, release: str) -> None:
        fresh = self.folder / f".{name}-{secrets.token_hex(4)}"
        fresh.symlink_to(f"{VERSIONS}/{release}")
        fresh.replace(self.folder / name)
        _sync(self.folder)
        for stale in self.folder.glob(f".{name}-*"):
            stale.unlink()

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / name).unlink()
            _sync(self.folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
