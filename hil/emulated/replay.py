"""Disks that a power cut could leave, out of a log of every write and flush.

The log is dm-log-writes', as QEMU's blklogwrites makes it. At a cut everything before the last flush is
on the disk. Of what was written after it, each sector may be there or not, whatever the order: some are kept,
some dropped, and a write of several sectors may be torn between two.

Source: the kernel's Documentation/admin-guide/device-mapper/log-writes.rst; QEMU, block/blklogwrites.c.
"""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD = 1, 2, 4
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
LARGEST = 1 << 26


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: where, how much (in sectors of the log), what kind, and where its data lie in the log."""

    sector: int
    count: int
    flags: int
    at: int


class Log:
    """A log of writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            magic, version, self.entries, self.sector = SUPER.unpack(file.read(SUPER.size))
        if (magic, version) != (MAGIC, VERSION) or self.sector not in (512, 4096):
            raise ValueError(f"{path}: is no log of writes")

    def __iter__(self) -> Iterator[Entry]:
        with self._path.open("rb") as file:
            at = self.sector
            for _ in range(self.entries):
                file.seek(at)
                sector, count, flags, _ = ENTRY.unpack(file.read(ENTRY.size))
                data = at + self.sector
                at = data + (0 if flags & (FLUSH | DISCARD) and not count else self._length(count, flags))
                yield Entry(sector, count, flags, data)

    def _length(self, count: int, flags: int) -> int:
        return 0 if flags & DISCARD else count * self.sector

    def read(self, file: BinaryIO, entry: Entry) -> bytes:
        """Return the data of a write."""
        size = entry.count * self.sector
        if size > LARGEST:
            raise ValueError("a write is larger than any that QEMU makes")
        file.seek(entry.at)
        return file.read(size)


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the power goes: after `entry` requests, and what chance leaves of what was not flushed."""

    entry: int
    seed: int


def cuts(entries: Sequence[Entry], count: int, seed: int) -> list[Cut]:
    """Return cuts all over a log, half of them right after a flush or right before one."""
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    flushes = [n for n, entry in enumerate(entries) if entry.flags & FLUSH]
    found = []
    for number in range(count):
        if flushes and number % 2:
            place = chance.choice(flushes) + chance.choice((0, 1))
        else:
            place = chance.randrange(len(entries)) + 1
        found.append(Cut(place, chance.randrange(1 << 32)))
    return found


def leave(log: Log, entries: Sequence[Entry], cut: Cut, disk: Path) -> None:
    """Bring a copy of the disk as it was before the log to what a power cut leaves."""
    chance = random.Random(cut.seed)  # noqa: S311
    before = entries[: cut.entry]
    flushed = max((n for n, entry in enumerate(before) if entry.flags & FLUSH), default=-1)
    with log._path.open("rb") as source, disk.open("r+b") as target:  # noqa: SLF001 - of this module
        for number, entry in enumerate(before):
            if not entry.count or entry.flags & DISCARD:
                continue
            data = log.read(source, entry)
            certain = number < flushed or entry.flags & FUA
            for first, last in [(0, entry.count)] if certain else kept(entry.count, chance):
                target.seek((entry.sector + first) * log.sector)
                target.write(data[first * log.sector : last * log.sector])


def kept(count: int, chance: random.Random) -> list[tuple[int, int]]:
    """Return which sectors of a write that was not flushed are there: all, none, a beginning, or some."""
    how = chance.random()
    if how < 0.4:
        return [(0, count)]
    if how < 0.7:
        return []
    if how < 0.85:
        return [(0, chance.randrange(count + 1))]
    return [(n, n + 1) for n in range(count) if chance.random() < 0.5]
