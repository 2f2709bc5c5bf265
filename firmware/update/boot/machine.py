"""Boot control of a machine with two system slots, A and B: one runs, the other is written and tried.

The bootloader chooses (`Switch`), something fills the other slot (`Writer`), and `book` keeps what neither
knows. The camera is part of the slot, so a start of it chooses nothing; it looks what the machine did:

    armed, asked for, and the other slot runs   the trial begins
    armed, asked for, and the old one runs      the trial failed: the flag got lost, or a fallback was taken
    on trial, and the camera starts again       it did not confirm itself: a restart into the old one

Kernel and root of different slots are a failed trial too. A confirmation is said, done, and written down,
in this order, and taken to its end at the next start where it was cut off.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol

from firmware.errors import OutputError, UpdateError
from firmware.state import tidy
from firmware.update.boot.book import Book, Books
from ota.errors import Code, UpdateRefused
from ota.release import Release

logger = logging.getLogger(__name__)

OTHER = {"a": "b", "b": "a"}
PART = ".part-"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Switch(Protocol):
    """A bootloader; slots are "a" and "b". Its methods raise UpdateError where it does not answer."""

    def require_able(self) -> None:
        """Look whether it can switch; raises UpdateRefused (UNSUPPORTED) where it cannot."""
        ...

    def booted(self) -> str:
        """Return the slot that runs."""
        ...

    def matched(self) -> bool:
        """Say whether kernel and root of what runs are of one slot."""
        ...

    def arm(self, slot: str) -> bool:
        """Prepare one trial of a slot; returns whether every restart makes it from now on."""
        ...

    def keep(self, slot: str) -> None:
        """Have every start take a slot, with nothing left to be tried."""
        ...

    def mend(self, slot: str) -> None:
        """At each start: see that what every start takes is said whole, and is good where it runs."""
        ...

    def restart(self, *, trial: bool) -> None:
        """Restart the machine, for a trial or into what every start takes."""
        ...


class Writer(Protocol):
    """Fills a slot from a folder that a verified release was unpacked to."""

    def check(self, slot: str, folder: Path) -> None:
        """Look whether it can be written, before the first byte; raises UpdateRefused."""
        ...

    def write(self, slot: str, folder: Path, release: Release) -> None:
        """Write it, and hold what was written against what was signed; raises UpdateRefused."""
        ...


class MachineSlots:
    """Two system slots; its methods wait for the disk."""

    def __init__(self, folder: Path, switch: Switch, writer: Writer, boot_id: Path = BOOT_ID) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._switch, self._writer, self._boot_id = switch, writer, boot_id
        self._books = Books(folder)

    def require_able(self) -> None:
        """Look whether this machine can switch; raises UpdateRefused."""
        self._switch.require_able()

    def running(self) -> str | None:
        """Return the release in the slot that runs; None where it is none of ours."""
        return self._books.now.slots.get(self._switch.booted())

    def confirmed(self) -> str | None:
        """Return the release that every start takes."""
        return self._books.now.confirmed or None

    def on_trial(self) -> str | None:
        """Return the release that is being tried, where its slot runs."""
        trying = self._books.now.trying
        return trying if trying and trying == self.running() else None

    def failed(self) -> str | None:
        """Return the release that was given up and not taken note of."""
        return self._books.now.failed or None

    def noted(self) -> None:
        """Take note of what was given up."""
        if self._books.now.failed:
            self._books.write(failed="")

    def has(self, release: str) -> bool:
        """Say whether a release lies in a slot, complete."""
        return self._books.now.slot_of(release) is not None

    def tree(self, release: str) -> Path | None:
        """Return None: an image in a slot is no folder of files, and deltas are read against those."""
        return None

    @contextlib.contextmanager
    def writing(self, release: Release) -> Iterator[Path]:
        """Give a folder to unpack a release to; after the block it is written to the slot that rests."""
        self._tidy()
        part = self.folder / f"{PART}{release.id}"
        part.mkdir(mode=0o700)
        try:
            yield part
            slot = self._resting()
            self._writer.check(slot, part)
            self.disarm()
            # From its first byte on, what was in it is nothing any more.
            self._books.write(slots=_without(self._books.now, slot))
            self._writer.write(slot, part, release)
            self._books.write(slots={**self._books.now.slots, slot: release.id})
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def arm(self, release: str) -> None:
        """Prepare one trial of a release."""
        slot = self._books.now.slot_of(release)
        if slot is None or slot == self._switch.booted():
            raise UpdateError(f"{release}: lies in no slot that rests; install it again")
        self._tidy()
        self._books.write(armed=release, asked=False, boot=self._now())
        if self._switch.arm(slot):
            self._books.write(asked=True)

    def disarm(self) -> None:
        """Take back what was armed."""
        if self._books.now.armed:
            self._switch.keep(self._switch.booted())
            self._books.write(armed="", asked=False)

    def restart(self) -> None:
        """Restart the machine into what is armed."""
        book = self._books.now
        if not book.armed:
            raise UpdateError("nothing is armed; install an update first")
        self._books.write(asked=True, boot=self._now())
        try:
            self._switch.restart(trial=True)
        except UpdateError:
            self._books.write(asked=book.asked)
            raise

    def boot(self) -> None:
        """Look what the machine booted, and note it; raises UpdateError where it restarts instead."""
        self._tidy()
        book = self._books.now
        try:
            here = self._switch.booted()
        except UpdateError as exc:
            if book.trying or (book.armed and book.boot != self._now()):
                raise
            # A camera that cannot be updated still hides people.
            logger.error("updates are not possible: %s", exc)  # noqa: TRY400 - no traceback is wanted
            return
        self._look(book, here)
        book = self._books.now
        in_trial = book.trying and book.trying == book.slots.get(here)
        try:
            self._switch.mend(OTHER[here] if in_trial else here)
        except (UpdateError, OutputError) as exc:
            logger.error("what the next start takes could not be mended: %s", exc)  # noqa: TRY400

    def _look(self, book: Book, here: str) -> None:
        """Settle what is on trial or armed by what the machine booted."""
        runs = book.slots.get(here)
        if book.failed and book.failed == runs and book.boot == self._now():
            # Given up a moment ago, and not down yet. After another start it runs: no loop of restarts.
            self._leave()
        if book.trying:
            if book.confirming and runs == book.trying:
                self._finish(book.trying)
            else:
                self._give_up(book.trying, here)
        elif book.armed and book.boot != self._now():
            if runs == book.armed and self._switch.matched():
                self._books.write(armed="", asked=False, trying=book.armed, boot=self._now())
            elif book.asked or runs == book.armed:
                self._give_up(book.armed, here)

    def confirm(self, release: str) -> None:
        """Have every later start take the release that is being tried."""
        if self.on_trial() == release:
            self._books.write(confirming=True)
            self._finish(release)

    def keep(self, releases: set[str]) -> list[str]:
        """Forget every other release; its bytes stay in their slot until the next update."""
        book = self._books.now
        stays = releases | {book.confirmed, book.slots.get(self._switch.booted(), "")}
        gone = [release for release in book.slots.values() if release not in stays]
        if gone:
            self._books.write(
                slots={slot: release for slot, release in book.slots.items() if release in stays}
            )
        return gone

    def _finish(self, release: str) -> None:
        self._switch.keep(self._switch.booted())
        self._books.write(confirmed=release, trying="", confirming=False)

    def _give_up(self, release: str, here: str) -> None:
        runs = self._books.now.slots.get(here) == release
        self._switch.keep(OTHER[here] if runs else here)
        over = {"armed": "", "asked": False, "trying": "", "confirming": False}
        self._books.write(failed=release, boot=self._now(), **over)
        if runs:
            self._leave()

    def _leave(self) -> NoReturn:
        self._switch.restart(trial=False)
        raise UpdateError(
            "the version on trial did not confirm itself; the machine restarts into the one before"
        )

    def _resting(self) -> str:
        """Return the slot that may be written."""
        book, slot = self._books.now, OTHER[self._switch.booted()]
        if book.trying or (book.confirmed and book.slots.get(slot) == book.confirmed):
            raise UpdateRefused(
                Code.BUSY,
                f"slot {slot} holds what every start takes; restart the machine, then install again",
            )
        return slot

    def _tidy(self) -> None:
        """Remove what a power cut left: parts of a file, and what an update was unpacked to."""
        tidy(self.folder)
        for stale in self.folder.glob(f"{PART}*"):
            shutil.rmtree(stale)

    def _now(self) -> str:
        return self._boot_id.read_text(encoding="ascii").strip()


def _without(book: Book, slot: str) -> dict[str, str]:
    return {one: release for one, release in book.slots.items() if one != slot}
