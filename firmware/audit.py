"""A record that nobody can change unseen: append-only, hash-chained, every entry signed by the device.

One file of JSON lines, `audit/audit.jsonl` in the state folder. A line is the canonical JSON (sorted, no
white space, ASCII) of `entry` and `sig`, the device's Ed25519 signature of the entry; each entry holds the
SHA-256 of the line before it. So the newest line stands for all before it: it is the chain's head, and
whoever keeps a head elsewhere can tell whether anything up to it was changed, moved or cut off, even by the
device.

An entry is on the disk (fdatasync) before `record` returns, and the act that it records comes after. Where it
cannot be written it raises, and the act does not happen: there are no gaps. Refusals of people whom nobody
knows are rationed, so that they cannot fill the disk; how many were left out is in the next one.
"""

import asyncio
import base64
import datetime as dt
import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import AuditUnwritable
from firmware.ports import Clock, KeyStore

FOLDER, FILE = "audit", "audit.jsonl"
DAMAGED = "damaged-*.jsonl"
FIRST = "0" * 64
"""What the first entry has in the place of the line before it."""

SIGNED = b"veilcam audit entry 1\n"
LONGEST = 16 * 1024
"""Bytes of a line."""
LONGEST_TEXT = 500

BURST = 100
REFILL_S = 60
"""So many refusals at once, and one more in so many seconds: 0.2 GB in a year of nothing else."""


class Act(StrEnum):
    """Everything that is recorded."""

    AUDIT_BEGUN = "audit.begun"
    AUDIT_MENDED = "audit.mended"
    CLAIMED = "owner.claimed"
    SETTINGS = "settings.changed"
    LOG_IN = "session.begun"
    LOG_OUT = "session.ended"
    USER_ADDED = "user.added"
    USER_CHANGED = "user.changed"
    USER_REMOVED = "user.removed"
    GRANT_ASKED = "grant.asked"
    GRANT_GIVEN = "grant.given"
    GRANT_RENEWED = "grant.renewed"
    GRANT_ENDED = "grant.ended"
    RAW_BEGUN = "raw.begun"
    RAW_ENDED = "raw.ended"
    REMOTE = "remote.certificate"
    COMMAND = "remote.command"
    UPDATE_BEGUN = "update.begun"
    UPDATE_ENDED = "update.ended"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Entry:
    """One act: who did what, when (RFC 3339, and seconds since boot, which nobody can set), and the rest."""

    n: int
    at: str
    up_s: float
    what: str
    who: str
    about: Mapping[str, object]
    before: str

    def told(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "n": self.n,
            "at": self.at,
            "up_s": self.up_s,
            "what": self.what,
            "who": self.who,
            "about": dict(self.about),
            "before": self.before,
        }


KEYS = {"n", "at", "up_s", "what", "who", "about", "before"}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: its number, and the SHA-256 of its line."""

    n: int
    sha256: str


EMPTY = Head(0, FIRST)


class Audit:
    """The record of one state folder that this process owns."""

    def __init__(self, state: Path, keys: KeyStore, clock: Clock) -> None:
        """Open it, or begin one; a line that a power cut left half written is cut off, and that is recorded.

        Raises:
            AuditUnwritable: it cannot be written.
        """
        self._path = state / FOLDER / FILE
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._head = EMPTY
        self.kept: Head | None = None
        """The newest head that somebody off the device has from this run; None where nobody is named."""
        self._ration = Ration(clock)
        self._watchers: list[Callable[[Head], None]] = []
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as exc:
            raise AuditUnwritable(_why(self._path, exc)) from exc

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def head(self) -> Head:
        """The newest entry that is on the disk."""
        return self._head

    def watch(self, told: Callable[[Head], None]) -> None:
        """Have somebody told of every new head, on the loop."""
        self._watchers.append(told)

    async def record(self, what: Act, who: str, about: Mapping[str, object]) -> None:
        """Write one entry; when this returns, it outlives a power cut. Raises AuditUnwritable."""
        async with self._turn:
            await asyncio.to_thread(self.write, what, who, about)
        self.tell()

    def tell(self) -> None:
        """Tell the watchers of the head, after a `write` of somebody who waits for the disk."""
        for told in self._watchers:
            told(self._head)

    async def denied(self, who: str, about: Mapping[str, object]) -> None:
        """Record that somebody was refused, within the ration; raises AuditUnwritable."""
        skipped = self._ration.take()
        if skipped is not None:
            await self.record(Act.DENIED, who, {**about, **({"left_out": skipped} if skipped else {})})

    def write(self, what: Act, who: str, about: Mapping[str, object]) -> None:
        """Write one entry and wait for the disk; raises AuditUnwritable."""
        with self._lock:
            entry = Entry(
                self._head.n + 1,
                _instant(self._clock.wall_ns()),
                round(self._clock.monotonic_ns() / 1e9, 3),
                what.value,
                who[:LONGEST_TEXT],
                {key: _bounded(value) for key, value in about.items()},
                self._head.sha256,
            )
            signature = _text(self._keys.sign(signed_part(entry)))
            line = _canonical({"entry": entry.told(), "sig": signature})
            self._append(line + b"\n")
            self._head = Head(entry.n, hashlib.sha256(line).hexdigest())

    def _append(self, line: bytes) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as exc:
            raise AuditUnwritable(_why(self._path, exc)) from exc
        try:
            size = os.fstat(handle).st_size
            try:
                _write_whole(handle, line)
            except OSError:
                # A half line would be taken for a power cut's; nobody was told that it is there.
                os.ftruncate(handle, size)
                raise
        except OSError as exc:
            raise AuditUnwritable(_why(self._path, exc)) from exc
        finally:
            os.close(handle)

    def _open(self) -> None:
        if not self._path.exists():
            _make(self._path)
        cut = _cut_off(self._path)
        last = _last_line(self._path)
        if not last:
            self.write(Act.AUDIT_BEGUN, "camera", {"device": _text(self._keys.signing_public)})
        elif self._is_ours(last):
            self._head = Head(read_line(last)[0].n, hashlib.sha256(last).hexdigest())
        else:
            self._put_away()
        if cut:
            self.write(Act.AUDIT_MENDED, "camera", {"cut_off_bytes": cut})

    def _is_ours(self, line: bytes) -> bool:
        try:
            entry, signature = read_line(line)
        except NotStrict:
            return False
        # Ed25519 has one signature for a message: whoever has the key need not verify.
        return signature == self._keys.sign(signed_part(entry))

    def _put_away(self) -> None:
        """Keep a damaged file as it is, and begin another that names it."""
        digest = _digest(self._path)
        self._path.replace(self._path.with_name(f"damaged-{digest[:16]}.jsonl"))
        _make(self._path)
        self.write(Act.AUDIT_BEGUN, "camera", {"damaged": digest})


class Ration:
    """A bucket of refusals that are written; the others are counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._then_s = clock.monotonic_ns() / 1e9
        self._skipped = 0

    def take(self) -> int | None:
        """Return how many were skipped before this one, or None where this one is."""
        now_s = self._clock.monotonic_ns() / 1e9
        self._left = min(BURST, self._left + (now_s - self._then_s) / REFILL_S)
        self._then_s = now_s
        if self._left < 1:
            self._skipped += 1
            return None
        self._left -= 1
        skipped, self._skipped = self._skipped, 0
        return skipped


def read_line(line: bytes) -> tuple[Entry, bytes]:
    """Read one line, and return its entry and signature; raises NotStrict where we would not write it so."""
    told = read_json(line, LONGEST)
    entry, signature = told.get("entry"), told.get("sig")
    if not isinstance(entry, dict) or not isinstance(signature, str) or set(told) != {"entry", "sig"}:
        raise NotStrict("no line of a record")
    if set(entry) != KEYS or type(entry["n"]) is not int or not isinstance(entry["about"], dict):
        raise NotStrict("no entry of a record")
    if _canonical(told) != line:
        raise NotStrict("not written as the camera writes")
    try:
        return Entry(**entry), base64.b64decode(signature, validate=True)
    except ValueError as exc:
        raise NotStrict("its signature is no base64") from exc


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a record, bounded; raises OSError."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST + 2):
            yield line.removesuffix(b"\n")


def signed_part(entry: Entry) -> bytes:
    """Return the bytes of an entry that its signature is over."""
    return SIGNED + _canonical(entry.told())


def _write_whole(handle: int, line: bytes) -> None:
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fdatasync(handle)


def _make(path: Path) -> None:
    """Make an empty file that a power cut does not take back."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _canonical(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")


def _instant(wall_ns: int) -> str:
    return dt.datetime.fromtimestamp(wall_ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")


def _bounded(value: object) -> object:
    """Return a value as JSON has it, and not too long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[:LONGEST_TEXT]


def _cut_off(path: Path) -> int:
    """Cut a last line without an end off; returns its bytes."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST - 2))
        tail = file.read()
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            file.truncate(size - torn)
            os.fsync(file.fileno())
    return torn


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST - 2))
        return file.read().removesuffix(b"\n").rpartition(b"\n")[2]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why(path: Path, exc: OSError) -> str:
    return f"{path}: the record cannot be written: {exc.strerror}; free space, or mend its permissions"
