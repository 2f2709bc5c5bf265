"""Files that outlive a power cut: written whole or not at all, in folders that one process at a time owns."""

import contextlib
import fcntl
import glob
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.errors import OutputError, StateInUse


@contextmanager
def own(folder: Path) -> Iterator[Path]:
    """Make the state folder, readable by its owner alone, and hold its lock for the length of the block.

    Raises:
        StateInUse: another camera process owns it.
        OutputError: it cannot be made or written.
    """

    def refuse() -> None:
        raise StateInUse(
            f"state folder {folder} is in use by another camera; stop it or choose another with --state"
        )

    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(locked(folder / "lock", refuse))
        except OSError as exc:
            raise OutputError(
                f"state folder {folder}: {exc.strerror}; choose another with --state, or mend its permissions"
            ) from exc
        yield folder


@contextmanager
def locked(path: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file for the length of the block; the kernel lets go if this process dies.

    Where another process holds it, `busy` is called; if it returns, this waits. Raises OSError.
    """
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


PART = re.compile(r"\..{1,100}\.[0-9a-f]{8}\.part")
"""Names of files that are being written."""
TRIES = 20


@contextmanager
def written(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a new file beside `path` to write to; at the end of the block it takes `path`'s place.

    At any power cut `path` has the old content or the new one, and after an error in the block the old one. A
    power cut may leave a hidden `.part` file beside it, which goes when `path` is written again or by `tidy`.
    A `private` file and its folder are its owner's alone from the first byte on.

    Raises:
        OutputError: it cannot be written or put in place.
    """
    with _held_part(path, private=private) as part:
        try:
            yield part
            _settle(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _held_part(path: Path, *, private: bool) -> Iterator[Path]:
    """Make a file beside `path`, and hold it: what nobody holds is what a killed process left."""
    # Fifty characters are at most 200 bytes: with what follows a name that every file system takes.
    stem, mode = f".{path.name[:50]}", 0o600 if private else 0o666
    try:
        path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        _remove_stale(path.parent.glob(f"{glob.escape(stem)}.*.part"))
        for _ in range(TRIES):
            part = path.with_name(f"{stem}.{secrets.token_hex(4)}.part")
            held = _made(part, mode)
            if held is not None:
                break
        else:
            raise OutputError(f"{path}: too many write it at the same time; let them take turns")
    except OSError as exc:
        raise OutputError(f"{path.parent}: cannot be written: {exc.strerror}; choose another place") from exc
    try:
        yield part
    finally:
        os.close(held)


def _made(part: Path, mode: int) -> int | None:
    """Make a file and hold it; None where another writer took it for a left one before that."""
    held = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held).st_nlink:
            return held
    except OSError:
        os.close(held)
        raise
    os.close(held)
    return None


def tidy(folder: Path) -> int:
    """Remove what killed processes left half written in a folder; returns how many files that were."""
    return _remove_stale(folder.glob(".*.part"))


def _remove_stale(parts: Iterable[Path]) -> int:
    return sum(_removed(part) for part in parts if PART.fullmatch(part.name))


def _removed(part: Path) -> bool:
    """Remove a file that no process holds any more; held meanwhile, so that its writer can tell."""
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    except OSError:  # held, gone, or not ours to open
        return False
    return True


def _settle(part: Path, path: Path) -> None:
    try:
        # The content before the name that makes it visible, and the name itself last.
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as exc:
        raise OutputError(f"{path}: cannot be put in place: {exc.strerror}; choose another place") from exc


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
