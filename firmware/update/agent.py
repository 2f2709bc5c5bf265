"""The one way from a bundle to a version that runs, and back.

    install   verify ─▶ unpack beside what runs ─▶ compare ─▶ WRITTEN ─▶ ARMED
    begun     at each start: what was armed is on TRIAL; what was on trial and is not running has failed
    confirm   what is on trial works: it is what every start takes ─▶ the floor rises ─▶ the others go
    rollback  it does not: it is quarantined, and the next start takes what ran before

Each step is recorded before the next one is taken, and each can be taken again after a power cut.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from firmware.ports import Clock
from firmware.update.archive import compare, sync_tree, unpack_tar
from firmware.update.boot.port import PAYLOAD, BootControl
from firmware.update.record import MOST_QUARANTINED, Phase, Record, Records
from ota.bundle import BundleFile, read_bundle, require_bill
from ota.errors import Code, UpdateRefused
from ota.metadata import Here, VerifiedRelease, verify
from ota.release import Privacy, Release
from ota.stanza import Opens
from ota.unpack import unpack

SPARE = 16 << 20
"""Bytes of a disk that stay free."""

Progress = Callable[[int], object]
Accepts = Callable[[Release], bool]


@dataclass(frozen=True, slots=True)
class Device:
    """What an update is held against: anchor and boards of this device, its key, what it promises now."""

    anchor: bytes
    boards: Sequence[str]
    keys: Opens
    privacy: Privacy


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
        progress: Progress = lambda size: None,
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
        self._require_wanted(verified.release, accepts)
        self._require_space(verified.release)
        self._write(verified, file, progress)
        self._records.write(
            phase=Phase.WRITTEN,
            release=verified.release.id,
            version=verified.release.version,
            counter=verified.release.counter,
        )
        self._slots.arm(verified.release.id)
        self._records.write(phase=Phase.ARMED)
        return verified.release

    def confirm(self) -> Record:
        """Keep what is on trial, and raise the floor; does nothing where nothing is."""
        record = self._records.now
        if record.phase is not Phase.TRIAL or self._slots.on_trial() != record.release:
            return record
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
        self._records.write(phase=Phase.CONFIRMED, floor=floor)
        # The floor first: a version below it is not kept to be started again.
        self._slots.keep({record.release})
        return self._records.write(phase=Phase.IDLE, last=f"version {record.version} was confirmed")

    def _fail(self, record: Record, why: str) -> Record:
        self._slots.disarm()
        quarantined = (*record.quarantined, record.release)[-MOST_QUARANTINED:]
        last = f"version {record.version} was rolled back: {why}"
        return self._records.write(phase=Phase.IDLE, quarantined=quarantined, last=last)

    def _require_wanted(self, release: Release, accepts: Accepts) -> None:
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
        now, then = self._device.privacy, release.privacy
        weaker = then.policy != now.policy or then.recall < now.recall
        if weaker and not accepts(release):
            raise UpdateRefused(
                Code.WEAKENS_PRIVACY,
                f"it hides by another policy or finds fewer people ({then.recall / 100:.1f} %, "
                f"now {now.recall / 100:.1f} % of the self-test); the owner has to sign for that",
            )

    def _require_space(self, release: Release) -> None:
        free = os.statvfs(self._slots.folder)
        needed = 2 * release.plain_length + SPARE
        if free.f_bavail * free.f_frsize < needed:
            raise UpdateRefused(Code.NO_SPACE, f"{needed >> 20} MiB are needed; free some space")

    def _write(self, verified: VerifiedRelease, file: BundleFile, progress: Progress) -> None:
        release = verified.release
        if self._slots.has(release.id):
            return
        with self._slots.writing(release) as folder:
            packed = folder / PAYLOAD
            with packed.open("wb", buffering=0) as plain:
                unpack(verified, self._device.keys, file, lambda chunk: progress(plain.write(chunk)))
            unpack_tar(packed, folder, release.plain_length)
            sync_tree(folder)
            compare(packed, folder)
