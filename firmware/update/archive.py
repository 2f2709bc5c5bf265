"""Unpacks a tar into an empty folder, and nothing anywhere else.

What is packed was signed; that it can do no harm is held all the same: folders, plain files and links that
stay inside, plain names, each once (also where small and capital letters are one), bounded in number and
size.
"""

import os
import tarfile
import unicodedata
from pathlib import Path, PurePosixPath

from ota.errors import Code, UpdateRefused

MOST_ENTRIES = 50_000
LONGEST_NAME, LONGEST_PATH = 200, 1024
PIECE = 1 << 20


def unpack_tar(path: Path, folder: Path, limit: int) -> int:
    """Write a tar's content into `folder`, at most `limit` bytes; returns how many entries there were.

    Raises:
        UpdateRefused: MALFORMED, for whatever is not as above.
        OSError: it cannot be written.
    """
    seen: set[str] = set()
    left = limit
    try:
        with tarfile.open(path, "r:", errorlevel=2) as tar:
            for entry in tar:
                name = plain_name(entry.name)
                key = unicodedata.normalize("NFC", name.as_posix()).casefold()
                if key in seen or len(seen) >= MOST_ENTRIES:
                    raise UpdateRefused(
                        Code.MALFORMED, f"{entry.name!r} is there twice, or there are too many"
                    )
                seen.add(key)
                left -= entry.size
                if left < 0:
                    raise UpdateRefused(Code.MALFORMED, "the archive is larger than what was signed")
                _write(tar, entry, folder / name, name)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as exc:
        raise UpdateRefused(Code.MALFORMED, f"an entry lies in no folder of its own: {exc}") from exc
    except (tarfile.TarError, UnicodeError, ValueError, EOFError) as exc:
        raise UpdateRefused(Code.MALFORMED, f"the archive cannot be read: {exc}") from exc
    return len(seen)


def sync_tree(folder: Path) -> None:
    """Wait until every file and folder below is on the disk; raises OSError."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in (*names, "."):
            path = Path(root) / name
            if not path.is_symlink():
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def compare(path: Path, folder: Path) -> None:
    """Read a tar and what was written of it again; raises UpdateRefused (CORRUPT) where they differ."""
    with tarfile.open(path, "r:") as tar:
        for entry in tar:
            there = folder / entry.name
            if entry.issym():
                same = there.is_symlink() and str(there.readlink()) == entry.linkname
            elif entry.isdir():
                same = there.is_dir() and not there.is_symlink()
            else:
                same = _same(tar, entry, there)
            if not same:
                raise UpdateRefused(Code.CORRUPT, f"{entry.name} was not written as it was read")


def _same(tar: tarfile.TarFile, entry: tarfile.TarInfo, there: Path) -> bool:
    packed = tar.extractfile(entry)
    if packed is None or there.is_symlink() or there.stat().st_size != entry.size:
        return False
    with there.open("rb") as file:
        while piece := packed.read(PIECE):
            if file.read(len(piece)) != piece:
                return False
    return True


def plain_name(text: str) -> PurePosixPath:
    """Return a name that stays where it is put; raises UpdateRefused."""
    name = PurePosixPath(text)
    parts = name.parts
    odd = any(not part.isprintable() or len(part.encode()) > LONGEST_NAME for part in parts)
    if not parts or name.is_absolute() or ".." in parts or odd or len(text) > LONGEST_PATH or "\\" in text:
        raise UpdateRefused(Code.MALFORMED, f"{text[:80]!r} is no name for a file of an update")
    return name


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, name: PurePosixPath) -> None:
    # A link that an earlier entry made must not lead a later one outside.
    if any(parent.is_symlink() for parent in list(target.parents)[: len(name.parts) - 1]):
        raise UpdateRefused(Code.MALFORMED, f"{name} lies behind a link")
    if entry.isdir():
        target.mkdir(mode=0o755)
    elif entry.isreg() and not entry.issparse():
        _write_file(tar, entry, target)
    elif entry.issym() and _stays(name, entry.linkname):
        target.symlink_to(entry.linkname)
    else:
        raise UpdateRefused(Code.MALFORMED, f"{name} is neither folder, file, nor a link that stays inside")


def _write_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    packed = tar.extractfile(entry)
    if packed is None:
        raise UpdateRefused(Code.MALFORMED, f"{entry.name} has no content")
    mode = 0o755 if entry.mode & 0o100 else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, mode), "wb") as file:
        while piece := packed.read(PIECE):
            file.write(piece)
        if file.tell() != entry.size:
            raise UpdateRefused(Code.MALFORMED, f"{entry.name} ends early")


def _stays(name: PurePosixPath, link: str) -> bool:
    """Say whether a link, read from where it lies, ends inside."""
    depth = len(name.parts) - 1
    if PurePosixPath(link).is_absolute() or not link or not link.isprintable():
        return False
    for part in PurePosixPath(link).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True
