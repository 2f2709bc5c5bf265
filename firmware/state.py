"""The state folder: everything the device writes lies in it, and one process at a time owns it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.errors import OutputError


@contextmanager
def own(folder: Path) -> Iterator[Path]:
    """Make the state folder, readable by its owner alone, and hold its lock for the length of the block.

    Raises:
        OutputError: it cannot be made or written, or another camera process owns it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as exc:
        raise OutputError(
            f"state folder {folder}: {exc.strerror}; choose another with --state, or mend its permissions"
        ) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise OutputError(
                f"state folder {folder} is in use by another camera; stop it or choose another with --state"
            ) from exc
        yield folder
