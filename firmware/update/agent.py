"""The one way from a bundle to a version that runs, and back.

    install   verify ─▶ read the delta against what runs, or the whole ─▶ unpack beside it ─▶ compare
              ─▶ WRITTEN ─▶ ARMED
    begun     at each start: what was armed is on TRIAL; what was on trial and is not running has failed
    show      what is on trial has measured what it hides: no less than the one before, or it is given up
    confirm   what is on trial works: it is what every start takes ─▶ the floor rises ─▶ the others go
    rollback  it does not: it is quarantined, and the next start takes what ran before

Each step is recorded before the next one is taken, and each can be taken again after a power cut.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from firmware.ports import Clock
from firmware.update.archive import compare, sync_tree, unpack_tar
from firmware.update.boot.port import PAYLOAD, BootControl
from firmware.update.delta import apply_delta
from firmware.update.record import MOST_QUARANTINED, Outcome, Phase, Record, Records
from ota.bundle import BundleFile, read_bundle, require_bill
from ota.errors import Code, UpdateRefused
from ota.metadata import Here, VerifiedRelease, verify
from ota.release import Part, Privacy, Release
from ota.stanza import Opens
from ota.unpack import unpack

logger = logging.getLogger(__name__)

DELTA = ".delta"
SPARE = 16 << 20
"""Bytes of a disk that stay free."""

Accepts = Callable[[Release], bool]


@dataclass(frozen=True, slots=True)
class Device:
    """What an update is held against: anchor and boards of this device, its key, what it promises now."""

    anchor: bytes
    boards: Sequence[str]
    keys: Opens
    privacy: Privacy


@dataclass(slots=True)
class Progress:
    """How much of an update is written; read by other threads, too. Bytes of the plain payload."""

    done: int = 0
    total: int = 0


class Agent:
    """Installs updates on one device; its methods wait for the disk. One at a time."""

    def __init__(self, device: Device, records: Records, slots: BootControl, clock: Clock) -> None:
        self._device = device
        self._records = records
        self._slots = slots
        self._clock = clock

    @property
    def now(self) -> Record:
        """Where an update is."""
        return self._records.now

    def begun(self) -> Record:
        """Take note of what this start runs; raises OutputError."""
        record, release = self._records.now, self._records.now.release
        under_way = record.phase in (Phase.WRITTEN, Phase.ARMED, Phase.TRIAL)
        # The power may have gone between a link and its record: the links are what is so.
        if record.phase is Phase.CONFIRMED or (under_way and self._slots.confirmed() == release):
            record = self._settle(record)
        elif under_way and self._slots.failed() == release:
            record = self._fail(record, "it was tried and did not confirm itself")
        elif under_way and self._slots.on_trial() == release:
            record = self._records.write(phase=Phase.TRIAL)
        self._slots.noted()
        return record

    def install(
        self,
        file: BundleFile,
        accepts: Accepts = lambda release: False,
        progress: Progress | None = None,
    ) -> Release:
        """Verify a bundle, write it beside what runs, and have it tried at the next start.

        `accepts` says whether the owner has signed for a release that weakens privacy.

        Raises:
            UpdateRefused: it is not installed; its code says why. What runs is as it was.
            OutputError, OSError: the disk.
        """
        if self._records.now.phase in (Phase.TRIAL, Phase.CONFIRMED):
            raise UpdateRefused(Code.BUSY, "an update is on trial; confirm it or roll it back first")
        self._slots.require_able()
        bundle = read_bundle(file)
        here = Here(self._device.boards, datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC))
        verified = verify(bundle.files, self._device.anchor, self._records.now.floor, here)
        # Seen, whatever becomes of it: nothing older is believed from now on.
        self._records.write(floor=verified.seen)
        require_bill(bundle, verified.release)
        accepted = self._require_wanted(verified.release, accepts)
        self._require_space(verified.release)
        self._write(verified, file, bundle.payload, progress or Progress())
        self._records.write(
            phase=Phase.WRITTEN,
            shown=None,
            accepted=accepted,
            release=verified.release.id,
            version=verified.release.version,
            counter=verified.release.counter,
        )
        self._slots.arm(verified.release.id)
        self._records.write(phase=Phase.ARMED)
        return verified.release

    def show(self, privacy: Privacy) -> Record:
        """Take note of what the version that runs hides, as its self-test has measured it.

        One on trial that hides less than the one before is given up, unless its owner signed for that; one
        that came with the device is what the first update is held against.
        """
        record = self._records.now
        if record.phase is Phase.TRIAL:
            before = record.privacy
            if before is not None and weaker(privacy, before) and not record.accepted:
                return self._fail(record, f"its self-test {_recalls(privacy, before)}")
            return self._records.write(shown=privacy)
        return self._records.write(privacy=privacy) if record.privacy is None else record

    def confirm(self) -> Record:
        """Keep what is on trial, and raise the floor; does nothing where nothing is.

        Raises:
            UpdateRefused: it has not shown yet what it hides.
        """
        record = self._records.now
        if record.phase is not Phase.TRIAL or self._slots.on_trial() != record.release:
            return record
        if record.shown is None:
            raise UpdateRefused(Code.BUSY, "the self-test of the version on trial is not done; wait for it")
        self._slots.confirm(record.release)
        return self._settle(self._records.write(phase=Phase.CONFIRMED))

    def rollback(self, why: str) -> Record:
        """Give up what is written, armed or on trial; what ran before runs at the next start."""
        record = self._records.now
        if record.phase in (Phase.IDLE, Phase.CONFIRMED):
            return record
        return self._fail(record, why)

    def _settle(self, record: Record) -> Record:
        floor = replace(record.floor, counter=max(record.floor.counter, record.counter))
        privacy = record.shown or record.privacy
        self._records.write(phase=Phase.CONFIRMED, floor=floor, privacy=privacy, shown=None)
        # The floor first: a version below it is not kept to be started again.
        self._slots.keep({record.release})
        last = f"version {record.version} was confirmed"
        return self._records.write(phase=Phase.IDLE, last=last, outcome=Outcome.CONFIRMED)

    def _fail(self, record: Record, why: str) -> Record:
        self._slots.disarm()
        quarantined = (*record.quarantined, record.release)[-MOST_QUARANTINED:]
        last = f"version {record.version} was rolled back: {why}"
        ended = {"last": last, "outcome": Outcome.ROLLED_BACK}
        return self._records.write(phase=Phase.IDLE, quarantined=quarantined, **ended)

    def _require_wanted(self, release: Release, accepts: Accepts) -> bool:
        """Return whether the owner has signed for it; raises UpdateRefused."""
        if release.id in self._records.now.quarantined:
            raise UpdateRefused(
                Code.QUARANTINED, f"version {release.version} was tried here and did not work"
            )
        if release.id == self._slots.running():
            raise UpdateRefused(Code.BUSY, f"version {release.version} is what runs")
        if release.needs_counter > self._records.now.floor.counter:
            raise UpdateRefused(
                Code.DEPENDS, f"it needs a version of security counter {release.needs_counter} first"
            )
        now, then = self._records.now.privacy or self._device.privacy, release.privacy
        if not weaker(then, now):
            return False
        if not accepts(release):
            raise UpdateRefused(
                Code.WEAKENS_PRIVACY, f"it {_recalls(then, now)}; the owner has to sign for that"
            )
        return True

    def _require_space(self, release: Release) -> None:
        free = os.statvfs(self._slots.folder)
        needed = 2 * release.plain_length + SPARE
        if free.f_bavail * free.f_frsize < needed:
            raise UpdateRefused(Code.NO_SPACE, f"{needed >> 20} MiB are needed; free some space")

    def _write(self, verified: VerifiedRelease, file: BundleFile, payload: int, progress: Progress) -> None:
        release = verified.release
        if self._slots.has(release.id):
            return
        with self._slots.writing(release) as folder:
            packed = folder / PAYLOAD
            reads = _Reads(verified, self._device.keys, file, payload, progress)
            if not self._by_delta(reads, folder, packed):
                reads.write(release.whole, packed)
            unpack_tar(packed, folder, release.plain_length)
            sync_tree(folder)
            compare(packed, folder)

    def _by_delta(self, reads: "_Reads", folder: Path, packed: Path) -> bool:
        """Make the payload of what runs and a delta; False where there is none, or it does not fit."""
        running, release = self._slots.running(), reads.verified.release
        base = None if running is None else self._slots.tree(running)
        part = next((one for one in release.deltas if one.base == running), None)
        if part is None or base is None:
            return False
        delta = folder / DELTA
        try:
            reads.write(part, delta)
            with delta.open("rb") as told, packed.open("wb") as out:
                apply_delta(told, base, out, release.plain_length)
            _require_made(packed, release.whole)
        except UpdateRefused as exc:
            if exc.code not in (Code.CORRUPT, Code.MALFORMED):
                raise
            logger.warning("the whole update is read, its delta cannot be used: %s", exc)
            return False
        finally:
            delta.unlink(missing_ok=True)
        return True


@dataclass(frozen=True, slots=True)
class _Reads:
    """A bundle whose payloads can be written out; `payload` is where they begin."""

    verified: VerifiedRelease
    keys: Opens
    file: BundleFile
    payload: int
    progress: Progress

    def write(self, part: Part, path: Path) -> None:
        """Unseal one of them into a file; raises UpdateRefused, OSError."""
        self.progress.done, self.progress.total = 0, part.plain_length
        self.file.seek(self.payload + self.verified.release.begins(part))
        with path.open("wb", buffering=0) as plain:

            def write(chunk: memoryview) -> None:
                self.progress.done += plain.write(chunk)

            unpack(self.verified, part, self.keys, self.file, write)


def _require_made(packed: Path, whole: Part) -> None:
    """Raise UpdateRefused where what a delta made is not what was signed as a whole."""
    with packed.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != whole.plain_sha256:
            raise UpdateRefused(Code.CORRUPT, "what runs is not what the delta was made against")


def weaker(then: Privacy, now: Privacy) -> bool:
    """Say whether a version hides by another policy than now, or finds fewer people."""
    return then.policy != now.policy or then.recall < now.recall


def _recalls(then: Privacy, now: Privacy) -> str:
    return (
        f"hides by another policy or finds fewer people ({then.recall / 100:.1f} %, "
        f"now {now.recall / 100:.1f} % of the self-test)"
    )
