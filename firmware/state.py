"""Files that outlive a power cut: written whole or not at all, in folders that one process at a time owns."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.errors import OutputError


@contextmanager
def own(folder: Path) -> Iterator[Path]:
    """Make the state folder, readable by its owner alone, and hold its lock for the length of the block.

    Raises:
        OutputError: it cannot be made or written, or another camera process owns it.
    """

    def refuse() -> None:
        raise OutputError(
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


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a new file beside `path` to write to; at the end of the block it takes `path`'s place.

    At any power cut `path` has the old content or the new one, and after an error in the block the old one. A
    power cut may leave a hidden `.part` file beside it.

    Raises:
        OutputError: it cannot be written or put in place.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as exc:
        raise OutputError(f"{path.parent}: cannot be written: {exc.strerror}; choose another place") from exc
    try:
        yield part
        _settle(part, path)
    finally:
        part.unlink(missing_ok=True)


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
