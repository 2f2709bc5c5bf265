"""Downloads one file: bounded, resumed where it broke off, and checked by hash before anybody sees it."""

import re
from dataclasses import dataclass
from http.client import HTTPResponse
from io import FileIO
from pathlib import Path

from firmware.config.model import sha256_of
from firmware.core.address import shown
from firmware.errors import NetworkUnavailable, WrongHash
from firmware.provision.progress import Progress
from firmware.provision.store import writing
from firmware.provision.web import WHAT_TO_DO, RangeRefused, Web

CHUNK = 1 << 18
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is downloaded: a name for people, its size in bytes and its SHA-256."""

    label: str
    bytes: int
    sha256: str


def download(
    web: Web, url: str, part: Path, wanted: Wanted, connect_s: float | None = None, attempts: int = ATTEMPTS
) -> None:
    """Bring the file to `part`, going on where an earlier attempt broke off.

    Raises:
        NetworkUnavailable: unreachable, or broken off at each attempt; what came is kept.
        WrongHash: more bytes than stated, or other ones; nothing is kept.
        OutputError: the disk is full or not writable.
    """
    resumed = _size(part) > 0
    for attempt in range(1, attempts + 1):
        try:
            _attempt(web, url, part, wanted, connect_s)
        except RangeRefused:
            part.unlink()
        except NetworkUnavailable:
            if attempt == attempts or _size(part) == 0:
                raise
        if _size(part) == wanted.bytes:
            break
    if _size(part) != wanted.bytes:
        raise NetworkUnavailable(
            f"{shown(url)} broke off at {_size(part)} of {wanted.bytes} bytes; run it again to go on from "
            f"there, or {WHAT_TO_DO}"
        )
    if (got := sha256_of(part)) != wanted.sha256:
        part.unlink()
        if resumed:  # what an earlier run left may have suffered in a power cut
            return download(web, url, part, wanted, connect_s, attempts)
        raise WrongHash(
            f"{wanted.label}: {shown(url)} has SHA-256 {got}, expected {wanted.sha256}; it was thrown away, "
            "do not use that source"
        )
    return None


def _attempt(web: Web, url: str, part: Path, wanted: Wanted, connect_s: float | None) -> None:
    have = _size(part)
    if have > wanted.bytes:
        part.unlink()
        have = 0
    if have == wanted.bytes:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with web.open(url, headers, connect_s) as response:
        start = have if _continues(response, have) else 0
        _refuse_longer(part, wanted, url, start + int(response.headers.get("Content-Length") or 0))
        with writing(part):
            file = part.open("r+b" if start else "wb", buffering=0)
        with file, Progress(wanted.label, wanted.bytes, start) as progress:
            file.seek(start)
            while chunk := response.read(CHUNK):
                start += len(chunk)
                _refuse_longer(part, wanted, url, start)
                with writing(part):
                    _write(file, chunk)
                progress.add(len(chunk))


def _write(file: FileIO, chunk: bytes) -> None:
    """Write all of it: an unbuffered file on a disk that is nearly full takes a part and says so."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _continues(response: HTTPResponse, have: int) -> bool:
    """Tell whether the answer goes on at `have`; a server may send everything instead."""
    stated = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status == 206 and stated is not None and int(stated[1]) == have


def _refuse_longer(part: Path, wanted: Wanted, url: str, size: int) -> None:
    if size > wanted.bytes:
        part.unlink(missing_ok=True)
        raise WrongHash(
            f"{wanted.label}: {shown(url)} sends more than the {wanted.bytes} bytes its manifest states; "
            "it was thrown away, do not use that source"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
