"""Writes images to the partitions of a slot, and proves that what lies there is what was signed.

Nothing is written where an image is larger than its partition, the slot runs, or the partition is named by
a link, is mounted, or is neither a block device nor (in tests) a file. After the last byte the partition is
read again from the disk itself (O_DIRECT, else after the page cache was told to let go), and the tar is
hashed with those bytes in place of its images: it has to be the digest that the authors signed. So it does
not matter whether a file was swapped after it was verified, or the medium gives back something else than it
was given.
"""

import hashlib
import mmap
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from firmware.update.boot.port import PAYLOAD
from ota.errors import Code, UpdateRefused
from ota.release import Release

PIECE = 1 << 20


class Partitions:
    """The partitions of both slots: by slot, the image's name in a release and where it goes."""

    def __init__(self, parts: Mapping[str, Mapping[str, Path]], booted: Callable[[], str]) -> None:
        self._parts, self._booted = parts, booted

    def check(self, slot: str, folder: Path) -> None:
        """Look whether every image is there and fits; raises UpdateRefused."""
        if slot == self._booted():
            raise UpdateRefused(Code.BUSY, f"slot {slot} is what runs; it is never written")
        parts = self._parts[slot]
        strange = sorted({path.name for path in folder.iterdir()} - {*parts, PAYLOAD})
        if strange:
            raise UpdateRefused(
                Code.INCOMPATIBLE,
                f"{strange[0]!r} has no place on this board, which takes {', '.join(parts)}",
            )
        for name, path in parts.items():
            image = folder / name
            if image.is_symlink() or not image.is_file():
                raise UpdateRefused(Code.INCOMPATIBLE, f"the release has no {name}, which this board needs")
            with _opened(path, os.O_RDONLY) as target:
                room, size = os.lseek(target, 0, os.SEEK_END), image.stat().st_size
            if size > room:
                raise UpdateRefused(
                    Code.INCOMPATIBLE,
                    f"{name} has {size} bytes, and {path} room for {room}; make a smaller image",
                )

    def write(self, slot: str, folder: Path, release: Release) -> None:
        """Write the images, and hold what lies there then against what was signed; raises UpdateRefused."""
        for name, path in self._parts[slot].items():
            with (folder / name).open("rb") as image, _opened(path, os.O_WRONLY) as target:
                while piece := image.read(PIECE):
                    _write_all(target, piece)
                os.fsync(target)
        try:
            found = signed_digest(folder / PAYLOAD, self._parts[slot])
        except tarfile.TarError as exc:
            raise UpdateRefused(Code.CORRUPT, f"the payload changed after it was verified: {exc}") from exc
        if found != release.plain_sha256:
            raise UpdateRefused(
                Code.CORRUPT, f"slot {slot} gives back other bytes than were signed; its disk may be failing"
            )


def signed_digest(packed: Path, parts: Mapping[str, Path]) -> str:
    """Return the SHA-256 of a tar, with what lies in partitions in place of the files of their names."""
    found = hashlib.sha256()
    with ExitStack() as opened:
        tar = opened.enter_context(tarfile.open(packed, "r:"))
        spans = sorted((e.offset_data, e.size, parts[e.name]) for e in tar if e.isreg() and e.name in parts)
        file = opened.enter_context(packed.open("rb"))
        for offset, size, path in spans:
            _hash_until(found, file.read, offset - file.tell())
            for piece in read_past_cache(path, size):
                found.update(piece)
            file.seek(offset + size)
        _hash_until(found, file.read, packed.stat().st_size - file.tell())
    return found.hexdigest()


def read_past_cache(path: Path, size: int) -> Iterator[bytes]:
    """Give the first bytes of a partition as the disk has them, or what there is of them."""
    # Memory of whole pages, which O_DIRECT asks for.
    with _opened(path, os.O_RDONLY) as source, mmap.mmap(-1, PIECE) as room:
        os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
        direct = _directly(path)
        try:
            handle, offset = (source if direct is None else direct), 0
            while offset < size:
                length = os.preadv(handle, [room], offset)
                yield room[: min(length, size - offset)]
                if length < PIECE:
                    return
                offset += length
        finally:
            if direct is not None:
                os.close(direct)


def _directly(path: Path) -> int | None:
    """Open past the page cache; None where the file system has no such way (tmpfs)."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _hash_until(found: "hashlib._Hash", read: Callable[[int], bytes], left: int) -> None:
    while left > 0 and (piece := read(min(left, PIECE))):
        found.update(piece)
        left -= len(piece)


def _write_all(target: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(target, view) :]


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Open a partition that is not in use; raises UpdateRefused."""
    try:
        if path.resolve(strict=True) != path:
            raise UpdateRefused(Code.UNSUPPORTED, f"{path}: is reached by a link; name the partition itself")
        # For a block device that is mounted or otherwise held the kernel answers O_EXCL with EBUSY.
        exclusive = os.O_EXCL if stat.S_ISBLK(path.stat().st_mode) else 0
        handle = os.open(path, flags | exclusive | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        raise UpdateRefused(
            Code.UNSUPPORTED,
            f"{path}: {exc.strerror}; flash an image that has this partition, and leave it unmounted",
        ) from exc
    try:
        kind = os.fstat(handle).st_mode
        if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
            raise UpdateRefused(Code.UNSUPPORTED, f"{path}: is no partition")
        yield handle
    finally:
        os.close(handle)
