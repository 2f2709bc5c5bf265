"""U-Boot's way: two small records in a partition of their own, and one trial that U-Boot itself takes back.

A record is a block of U-Boot's environment as its `env import -c` reads it: CRC-32 (little endian) over the
508 bytes after it, which hold `key=value` texts ended by zeros:

    seq     which record is the newer one
    good    the slot that every start takes
    try     the slot that is tried once, or none
    spent   1 once U-Boot has begun that trial

Each write goes to the record that is the older one, so that at any cut the other is whole; 512 bytes are one
sector of any disk. U-Boot (scripts/images/boot.cmd) notes a trial as spent before it begins, under the same
`seq`: of two records with one `seq` the spent one counts.

Source: U-Boot's documentation of `env import` and `env export`, cmd/nvedit.c (2023.01). Shown with U-Boot
itself in an emulated arm64 machine (hil/), on no board.
"""

import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from firmware.errors import OutputError, UpdateError
from firmware.update.boot.command import restart_machine
from ota.errors import Code, UpdateRefused

STATE = Path("/dev/disk/by-partlabel/bootstate")
CMDLINE = Path("/proc/cmdline")
SIZE = 512
OFFSETS = (0, 4096)
"""Where the records lie in their partition, in bytes: in different pages of any flash."""
FLASH = "flash an image that has it"


@dataclass(frozen=True, slots=True)
class Record:
    """What U-Boot reads."""

    seq: int
    good: str
    trying: str = "none"
    spent: bool = True

    def encoded(self) -> bytes:
        """Return its 512 bytes."""
        said = {"seq": self.seq, "good": self.good, "try": self.trying, "spent": int(self.spent)}
        text = b"".join(f"{key}={value}\0".encode("ascii") for key, value in said.items())
        body = text.ljust(SIZE - 4, b"\0")
        return zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decoded(cls, block: bytes) -> "Record | None":
        """Read 512 bytes; None where they are no whole record."""
        if len(block) != SIZE or zlib.crc32(block[4:]) != int.from_bytes(block[:4], "little"):
            return None
        texts = block[4:].partition(b"\0\0")[0].decode("ascii", "replace").split("\0")
        said = dict(text.partition("=")[::2] for text in texts)
        seq, good, trying = said.get("seq", ""), said.get("good"), said.get("try")
        if not re.fullmatch(r"\d{1,9}", seq) or good not in ("a", "b") or trying not in ("a", "b", "none"):
            return None
        return cls(int(seq), good, trying, said.get("spent") != "0")

    @property
    def age(self) -> tuple[int, bool]:
        """Return what says which of two is the newer one."""
        return self.seq, self.spent


class Uboot:
    """Both slots of a machine that U-Boot starts."""

    def __init__(
        self, state: Path = STATE, cmdline: Path = CMDLINE, restart: Callable[[str], None] = restart_machine
    ) -> None:
        self._state, self._cmdline, self._restart = state, cmdline, restart

    def require_able(self) -> None:
        """Refuse a machine that was not started by U-Boot with slots, or has no records to write."""
        try:
            self.booted()
            self._read()
        except UpdateError as exc:
            raise UpdateRefused(Code.UNSUPPORTED, str(exc)) from exc

    def booted(self) -> str:
        """Return the slot that runs, as U-Boot told the kernel; raises UpdateError."""
        try:
            words = self._cmdline.read_text(encoding="ascii", errors="replace").split()
        except OSError as exc:
            raise UpdateError(f"{self._cmdline}: {exc.strerror}") from exc
        for word in words:
            if word in ("veilcam.slot=a", "veilcam.slot=b"):
                return word[-1]
        raise UpdateError(f"the kernel was started without veilcam.slot=a or b; {FLASH}")

    def matched(self) -> bool:
        """Say yes: the hash of the root is beside the kernel, so another slot's root does not start."""
        return True

    def arm(self, slot: str) -> bool:
        """Have the next start try a slot, once, whoever asks for that start."""
        now = self._now()
        self._write(replace(now, trying=slot, spent=False))
        return True

    def keep(self, slot: str) -> None:
        """Have every start take a slot."""
        now = self._now()
        if (now.good, now.trying) != (slot, "none"):
            self._write(Record(now.seq, slot))

    def mend(self, slot: str) -> None:
        """Write a record where one is missing or torn; what the whole one says stays."""
        found = self._read()
        if None in found:
            self._write(max((one for one in found if one), key=lambda one: one.age, default=Record(0, slot)))

    def restart(self, *, trial: bool) -> None:
        """Restart the machine; what it takes was written before."""
        self._restart("")

    def _now(self) -> Record:
        whole = [one for one in self._read() if one is not None]
        return max(whole, key=lambda one: one.age, default=Record(0, self.booted()))

    def _read(self) -> list[Record | None]:
        try:
            with self._state.open("rb") as file:
                return [Record.decoded(os.pread(file.fileno(), SIZE, at)) for at in OFFSETS]
        except OSError as exc:
            raise UpdateError(f"{self._state}: {exc.strerror}; {FLASH}") from exc

    def _write(self, record: Record) -> None:
        """Write a record, newer than both, over the older or the torn one."""
        found = self._read()
        ages = [(-1, False) if one is None else one.age for one in found]
        newest = max(record.seq, *(seq for seq, _ in ages))
        place = OFFSETS[ages.index(min(ages))]
        try:
            # O_DSYNC: on the disk before this returns, past every cache of its own.
            handle = os.open(self._state, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)
            try:
                os.pwrite(handle, replace(record, seq=newest + 1).encoded(), place)
            finally:
                os.close(handle)
        except OSError as exc:
            raise OutputError(f"{self._state}: {exc.strerror}; {FLASH}") from exc
