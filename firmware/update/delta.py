"""What turns one version into the next: file by file the old one, a zstd patch of the old one, or a new one.

    record* : length of the head (4 bytes, big-endian) | head, JSON | body

The head says what a payload's entry is (`ota.author.entry_of`) and how its content is had: as it lies in
the base, as a zstd frame (RFC 8878) read against the base's file, or as one read against nothing. From the
base and the delta the very payload is made again that was signed as a whole; whoever applies one holds its
digest against that. Whatever the delta says, nothing is read but plain files of the base, and nothing longer
is written than what was signed.
"""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from backports import zstd

from firmware.core.strict_json import NotStrict, read_json
from firmware.update.archive import plain_name
from ota.author import entry_of, packing
from ota.errors import Code, UpdateRefused

LONGEST_HEAD = 8192
MOST_ENTRIES = 50_000
LARGEST_PATCHED = 8 << 20
"""Bytes of a file that is read against its older self: both are held in memory."""
WINDOW_LOG = 24
"""Of two: how far back a frame may reach; 16 MiB of memory."""
LEVEL = 19
PIECE = 1 << 18

BASE, PATCH, NEW = "base", "patch", "new"
FOLDER, LINK, FILE = "folder", "link", "file"


def make_delta(base: Path, folder: Path, out: BinaryIO) -> None:
    """Write what turns one packed folder into another; the same whoever makes it with the same zstd."""
    for path in sorted(folder.rglob("*")):
        if not (path.is_symlink() or path.is_dir() or path.is_file()):
            continue
        info = entry_of(folder, path)
        head: dict[str, object] = {"name": info.name, "mode": info.mode}
        body = b""
        if info.issym():
            head |= {"kind": LINK, "link": info.linkname}
        elif info.isdir():
            head |= {"kind": FOLDER}
        else:
            how, body = _difference(base / info.name, path)
            head |= {"kind": FILE, "size": info.size, "how": how, "body": len(body)}
        told = json.dumps(head, separators=(",", ":")).encode()
        out.write(len(told).to_bytes(4) + told + body)


def _difference(old: Path, new: Path) -> tuple[str, bytes]:
    """Return how a file is had, and what is needed for that."""
    content = new.read_bytes()
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: LEVEL,
        zstd.CompressionParameter.window_log: WINDOW_LOG,
    }
    if old.is_file() and not old.is_symlink():
        before = old.read_bytes()
        if before == content:
            return BASE, b""
        if max(len(before), len(content)) <= LARGEST_PATCHED and before:
            known = zstd.ZstdDict(before, is_raw=True).as_prefix
            return PATCH, zstd.compress(content, options=options, zstd_dict=known)
    return NEW, zstd.compress(content, options=options)


def apply_delta(delta: BinaryIO, base: Path, out: BinaryIO, limit: int) -> None:
    """Write the payload that a delta makes of a base, at most `limit` bytes and what a tar adds to them.

    Raises:
        UpdateRefused: MALFORMED or CORRUPT; it is no delta, or not one against this base.
        OSError: the disk.
    """
    left = limit
    with packing(out) as tar:
        for _ in range(MOST_ENTRIES):
            head = _head(delta)
            if head is None:
                return
            info = _entry(head)
            left -= info.size
            if left < 0:
                raise UpdateRefused(Code.MALFORMED, "the delta makes more than what was signed")
            if info.isreg():
                with _content(head, info, delta, base) as content:
                    tar.addfile(info, cast("BinaryIO", content))  # it reads alone
            else:
                tar.addfile(info)
    raise UpdateRefused(Code.MALFORMED, "the delta has too many entries")


def _head(delta: BinaryIO) -> Mapping[str, Any] | None:
    length = delta.read(4)
    if not length:
        return None
    size = int.from_bytes(length)
    if len(length) != 4 or not 0 < size <= LONGEST_HEAD:
        raise UpdateRefused(Code.MALFORMED, "the delta's heads cannot be read")
    try:
        return read_json(delta.read(size), LONGEST_HEAD)
    except NotStrict as exc:
        raise UpdateRefused(Code.MALFORMED, f"a head of the delta: {exc}") from exc


def _entry(head: Mapping[str, Any]) -> tarfile.TarInfo:
    known, body = True, 0
    try:
        name, mode, kind = str(head["name"]), head["mode"], head["kind"]
        info = tarfile.TarInfo(plain_name(name).as_posix())
        info.mode = 0o755 if mode == 0o755 else 0o644
        if kind == LINK:
            info.type, info.linkname = tarfile.SYMTYPE, str(head["link"])
        elif kind == FOLDER:
            info.type = tarfile.DIRTYPE
        else:
            info.size, body = int(head["size"]), int(head["body"])
            known = kind == FILE and head["how"] in (BASE, PATCH, NEW)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise UpdateRefused(Code.MALFORMED, f"an entry of the delta: {exc}") from exc
    if not known or min(info.size, body) < 0 or (head.get("how") == PATCH and body > 2 * LARGEST_PATCHED):
        raise UpdateRefused(Code.MALFORMED, f"{name[:80]!r} is no entry of a delta")
    return info


def _content(
    head: Mapping[str, Any], info: tarfile.TarInfo, delta: BinaryIO, base: Path
) -> "BinaryIO | _Frame":
    """Return the content of one file, as a file; raises UpdateRefused where the base is another."""
    body = io.BytesIO(delta.read(head["body"])) if head["how"] != NEW else delta
    if head["how"] == NEW:
        return _Frame(body, head["body"], info)
    old = _opened(base, info)
    if head["how"] == BASE:
        if os.fstat(old.fileno()).st_size != info.size:
            old.close()
            raise UpdateRefused(Code.CORRUPT, f"{info.name} is not what the delta was made against")
        return old
    with old:
        before = old.read(LARGEST_PATCHED + 1)
    if len(before) > LARGEST_PATCHED:
        raise UpdateRefused(Code.MALFORMED, f"{info.name} is too large to be patched")
    return _Frame(body, head["body"], info, before)


def _opened(base: Path, info: tarfile.TarInfo) -> BinaryIO:
    """Open a plain file of the base; a link on the way, or none at all, is another base."""
    path = base / info.name
    behind = any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(base))
    try:
        if behind or not path.is_file():
            raise FileNotFoundError(path)
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
    except OSError as exc:
        raise UpdateRefused(Code.CORRUPT, f"{info.name} is not in what the delta was made against") from exc


class _Frame(io.RawIOBase):
    """One zstd frame of a delta as the file that it makes: just as long as stated."""

    def __init__(self, packed: BinaryIO, length: int, info: tarfile.TarInfo, before: bytes = b"") -> None:
        super().__init__()
        known = zstd.ZstdDict(before, is_raw=True).as_prefix if before else None
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
        self._frame = zstd.ZstdDecompressor(zstd_dict=known, options=options)
        self._packed, self._left, self._info, self._done = packed, length, info, 0

    def read(self, size: int = -1, /) -> bytes:
        """Return just so many bytes; raises UpdateRefused where the frame has fewer, or more at its end."""
        parts, wanted = [], size
        while wanted:
            part = self._more(wanted)
            if not part:
                raise self._refused("is shorter than stated")
            parts.append(part)
            wanted -= len(part)
        self._done += size
        if self._done == self._info.size and (self._more(1) or self._left):
            raise self._refused("is longer than stated")
        return b"".join(parts)

    def close(self) -> None:
        """Hold an empty file to having nothing in its frame, too."""
        if self._info.size == 0 and not self.closed and (self._more(1) or self._left):
            raise self._refused("is longer than stated")
        super().close()

    def _more(self, most: int) -> bytes:
        try:
            while not self._frame.eof:
                piece = b""
                if self._frame.needs_input:
                    piece = self._packed.read(min(PIECE, self._left))
                    self._left -= len(piece)
                    if not piece:
                        return b""
                if part := self._frame.decompress(piece, most):
                    return part
        except zstd.ZstdError as exc:
            raise self._refused("is not what was packed") from exc
        return b""

    def _refused(self, why: str) -> UpdateRefused:
        return UpdateRefused(Code.CORRUPT, f"{self._info.name} {why}")
