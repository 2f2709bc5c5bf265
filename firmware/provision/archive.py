"""Reads named members of a wheel or a tarball into memory; nothing is unpacked to where an archive says."""

import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from firmware.errors import WrongHash

MEMBERS = 100_000
UNPACKED = 4 << 30

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    OverflowError,
)
"""What zipfile and tarfile raise on archives that are not what they claim to be."""


def read_members(archive: Path, wanted: Mapping[str, int]) -> Mapping[str, bytes]:
    """Return the contents of plain files by name; `wanted` states the size of each in bytes.

    Raises:
        WrongHash: the archive cannot be read, lacks one, or holds one that is no plain file of that size.
    """
    try:
        found = _from_zip(archive, wanted) if zipfile.is_zipfile(archive) else _from_tar(archive, wanted)
    except _BROKEN as exc:
        raise WrongHash(f"{archive.name}: cannot be read as an archive: {exc}; fetch it again") from exc
    for name, size in wanted.items():
        if len(found.get(name, b"")) != size:
            raise WrongHash(
                f"{archive.name}: holds no plain file {name} of {size} bytes; correct the manifest"
            )
    return found


def _from_zip(archive: Path, wanted: Mapping[str, int]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist()[:MEMBERS]:
            if info.filename in wanted and info.file_size == wanted[info.filename]:
                with opened.open(info) as member:
                    # A byte more than stated is asked for, to find a member that lies about its size.
                    found.setdefault(info.filename, member.read(info.file_size + 1))
    return found


def _from_tar(archive: Path, wanted: Mapping[str, int]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    passed = 0
    # Through gzip and not "r|gz", whose own reader of headers raises TypeError on short files.
    with gzip.open(archive) as plain, tarfile.open(fileobj=plain, mode="r|") as opened:
        for count, info in enumerate(opened):
            passed += max(info.size, 0)
            if count >= MEMBERS or passed > UNPACKED or len(found) == len(wanted):
                break
            if info.isreg() and info.name in wanted and info.size == wanted[info.name]:
                member = opened.extractfile(info)
                if member is not None:
                    found.setdefault(info.name, member.read(info.size))
    return found
