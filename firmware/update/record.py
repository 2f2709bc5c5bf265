"""Where an update is, and the floor: two records that are written in turn, so that one is always whole.

Each has a number, a CRC-32 against damage and an HMAC-SHA256 by a key that only this device's identity can
make: a record of another device, or one that somebody edited, is none. The whole one with the higher number
counts. Where both are damaged there is no floor to hold updates against, and that is an error, never a start
from nothing: a missing record and a damaged one are told apart.

Where hardware counts, records that somebody put back from an older copy of the card are refused: the number
may not be below the counter's. The record is written first and the counter raised after it. A power cut
between the two leaves a record ahead of its counter, and the next start raises that; the other way round it
would leave a counter that no record fits, and a device that takes no update ever again. Until the counter is
up the record before would be believed, too: so nobody acts on a record before `write` has returned.
"""

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import IdentityDamaged
from firmware.ports import Counter, KeyStore
from firmware.state import written
from ota.metadata import Floor
from ota.release import Privacy

FOLDER = "update"
NAMES = ("record.0", "record.1")
LONGEST = 4 << 20
MOST_QUARANTINED = 64
MOST_BEHIND = 64
"""Records that were written while the counter did not go up; so many tries fail only where it never will."""


class Phase(StrEnum):
    """How far an update is."""

    IDLE = "idle"
    WRITTEN = "written"
    ARMED = "armed"
    TRIAL = "trial"
    CONFIRMED = "confirmed"


class Outcome(StrEnum):
    """How the last update ended."""

    NONE = "none"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Record:
    """One moment of the update; `version`, `release` and `counter` are of what is being installed."""

    phase: Phase = Phase.IDLE
    release: str = ""
    version: str = ""
    counter: int = 0
    floor: Floor = field(default_factory=Floor)
    quarantined: tuple[str, ...] = ()
    """Releases that were tried and did not work; none is tried again."""
    last: str = ""
    """One sentence about how the last update went."""
    privacy: Privacy | None = None
    """What the confirmed version has shown here: its policy, and what its self-test finds."""
    shown: Privacy | None = None
    """The same of the version on trial."""
    accepted: bool = False
    """The owner has signed for it to be weaker."""
    outcome: Outcome = Outcome.NONE


class Records:
    """Both records of one state folder; its methods wait for the disk."""

    def __init__(self, state: Path, keys: KeyStore, counter: Counter | None = None) -> None:
        """Open them.

        Raises:
            IdentityDamaged: both are damaged, or older than the counter knows.
            KeyUnavailable: the counter does not answer.
        """
        self._folder = state / FOLDER
        self._counter = counter
        # Ed25519 has one signature for a message: so this is a secret that only this device can make.
        self._key = hashlib.sha256(keys.sign(b"veilcam update record 1\n")).digest()
        found = [self._read(name) for name in NAMES]
        whole = [one for one in found if one is not None]
        if not whole and any((self._folder / name).exists() for name in NAMES):
            raise IdentityDamaged(
                f"{self._folder}: both records of updates are damaged; put one back from a copy"
            )
        self._number, self._now = max(whole, key=lambda one: one[0], default=(0, Record()))
        self._raise_counter()

    @property
    def now(self) -> Record:
        """The record that counts."""
        return self._now

    @property
    def number(self) -> int:
        """How many were written."""
        return self._number

    def write(self, **changes: Any) -> Record:
        """Write a changed record over the older one.

        Raises:
            OutputError: the disk, and then the other still counts.
            KeyUnavailable, IdentityDamaged: the counter; nobody may act on the record.
        """
        record, number = replace(self._now, **changes), self._number + 1
        body = json.dumps({"number": number, **_told(record)}, sort_keys=True).encode()
        seal = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        content = b"%08x %s\n%s" % (zlib.crc32(body), seal.encode(), body)
        with written(self._folder / NAMES[number % 2], private=True) as part:
            part.write_bytes(content)
        # It is there, whatever becomes of the counter: the next one has to have a higher number.
        self._number = number
        self._raise_counter()
        self._now = record
        return record

    def _raise_counter(self) -> None:
        """Bring the counter up to the record that counts; refuse a record that is below it."""
        if self._counter is None:
            return
        behind = self._number - self._counter.value()
        if not 0 <= behind <= MOST_BEHIND:
            raise _gone_beyond(self._folder)
        for _ in range(behind):
            self._counter.up()

    def _read(self, name: str) -> tuple[int, Record] | None:
        """Return the number and the record of a whole file; None where it is none."""
        try:
            head, _, body = (self._folder / name).read_bytes().partition(b"\n")
            checksum, _, seal = head.decode("ascii").partition(" ")
            expected = hmac.new(self._key, body, hashlib.sha256).hexdigest()
            if int(checksum, 16) != zlib.crc32(body) or not hmac.compare_digest(seal, expected):
                return None
            told = read_json(body, LONGEST)
            return _number(told), _record(told)
        except (OSError, NotStrict, ValueError, KeyError, TypeError):
            return None


def read_record(state: Path, keys: KeyStore, counter: Counter | None) -> Record:
    """Return the record that counts, beside whoever writes one: unlike `Records` it raises no counter.

    The counter is asked first: who writes meanwhile makes the record newer, and never the counter's value.

    Raises:
        IdentityDamaged: both are damaged, or older than the counter knows.
        KeyUnavailable: the counter does not answer.
    """
    least = 0 if counter is None else counter.value()
    records = Records(state, keys)
    if records.number < least:
        raise _gone_beyond(state / FOLDER)
    return records.now


def _gone_beyond(folder: Path) -> IdentityDamaged:
    return IdentityDamaged(
        f"{folder}: records of updates that this device has gone beyond, or none where it had some; "
        "put back the newest copy, or start with an empty state folder, as a new device"
    )


def _told(record: Record) -> dict[str, object]:
    floor = record.floor
    return {
        "phase": record.phase.value,
        "release": record.release,
        "version": record.version,
        "counter": record.counter,
        "root": base64.b64encode(floor.root).decode(),
        "versions": dict(floor.versions),
        "floor_counter": floor.counter,
        "time_s": floor.time_s,
        "quarantined": list(record.quarantined),
        "last": record.last,
        "privacy": _privacy_told(record.privacy),
        "shown": _privacy_told(record.shown),
        "accepted": record.accepted,
        "outcome": record.outcome.value,
    }


def _privacy_told(privacy: Privacy | None) -> list[object] | None:
    return None if privacy is None else [privacy.policy, privacy.recall]


def _number(told: Mapping[str, Any]) -> int:
    return int(told["number"])


def _record(told: Mapping[str, Any]) -> Record:
    versions = {str(role): int(version) for role, version in told["versions"].items()}
    root = base64.b64decode(told["root"])
    return Record(
        Phase(told["phase"]),
        str(told["release"]),
        str(told["version"]),
        int(told["counter"]),
        Floor(root, versions, int(told["floor_counter"]), int(told["time_s"])),
        tuple(map(str, told["quarantined"])),
        str(told["last"]),
        _privacy(told.get("privacy")),
        _privacy(told.get("shown")),
        bool(told.get("accepted")),
        Outcome(told.get("outcome", Outcome.NONE)),
    )


def _privacy(told: Any) -> Privacy | None:
    if told is None:
        return None
    policy, recall = told
    return Privacy(str(policy), int(recall))
