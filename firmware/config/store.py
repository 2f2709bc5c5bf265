"""The settings in the state folder: one file that a power cut leaves old or new, and the last good one.

Settings that could cut the camera off can be on probation (see `probation`). Each change has a revision,
one more than the one before. Where the newest file is damaged the last good one takes its place, with a
revision of its own, so that nothing that was said for a revision is heard twice.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from firmware.config.probation import (
    NAME,
    Probation,
    end_probation,
    read_probation,
    write_probation,
)
from firmware.config.settings import Settings, read_settings
from firmware.config.weakening import changed_keys, weakened_keys
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import ConfigError
from firmware.state import written

logger = logging.getLogger(__name__)

FOLDER = "settings"
NOW, LAST = "settings.json", "settings.last.json"
LONGEST = 64 * 1024


class RevisionMoved(Exception):
    """Somebody else has changed the settings meanwhile."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Settings and their revision, counted from 1."""

    settings: Settings
    revision: int

    @property
    def digest(self) -> str:
        """SHA-256 of every key's value, as hex."""
        told = json.dumps(self.values(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def values(self) -> dict[str, object]:
        """Return every key with its value, as JSON has them."""
        return self.settings.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a change would make of the settings."""

    before: Stored
    after: Stored
    changed: Sequence[str]
    weaker: Sequence[str]
    """Keys of `changed` whose new value weakens privacy."""


class SettingsStore:
    """The settings of one state folder; its methods wait for the disk. One thread at a time."""

    def __init__(self, state: Path, first: Settings | None = None) -> None:
        """Open the store; `first` is its content where it has none yet.

        Raises:
            ConfigError: what is there cannot be read.
            OutputError: the folder cannot be written.
        """
        self._folder = state / FOLDER
        self.was_there = True
        found = self._found()
        if found is None:
            found = Stored(first or Settings(), 1)
            self._write(found)
            self.was_there = False
        self._now = found

    @property
    def on_probation(self) -> bool:
        """Whether what holds has to be confirmed."""
        found = read_probation(self._folder)
        return found is not None and found.revision == self._now.revision

    @property
    def now(self) -> Stored:
        """What holds."""
        return self._now

    def propose(self, patch: Mapping[str, object]) -> Proposal:
        """Return what a change of some keys would do; raises ConfigError where that is not valid."""
        before = self._now
        settings = read_settings("settings", before.values() | dict(patch))
        after = Stored(settings, before.revision + 1)
        return Proposal(
            before,
            after,
            changed_keys(before.settings, settings),
            weakened_keys(before.settings, settings),
        )

    def apply(self, proposal: Proposal, *, probation: bool = False) -> Stored:
        """Make a proposal hold, on probation where that is asked for; else nothing is on probation any more.

        Raises:
            RevisionMoved: it was made before another change.
            OutputError: it cannot be written; what held still holds.
        """
        if proposal.before.revision != self._now.revision:
            raise RevisionMoved
        if probation:
            before = Probation(proposal.after.revision, proposal.before.values())
            write_probation(self._folder, before)
        self._write(proposal.after)
        self._now = proposal.after
        return self._now

    def confirm(self) -> None:
        """Have what is on probation hold; raises OSError."""
        end_probation(self._folder)

    def reversal(self) -> Proposal | None:
        """Return what would take back what is on probation; None where nothing is."""
        found = read_probation(self._folder)
        if found is None or found.revision != self._now.revision:
            return None
        settings = read_settings(self._folder / NAME, dict(found.before))
        after = Stored(settings, self._now.revision + 1)
        changed = changed_keys(self._now.settings, settings)
        return Proposal(self._now, after, changed, weakened_keys(self._now.settings, settings))

    def begin(self) -> Proposal | None:
        """Count a start of the camera; what an earlier one was not confirmed with is taken back and returned.

        Raises:
            OutputError: it cannot be written.
        """
        found = read_probation(self._folder)
        if found is None:
            return None
        if found.revision != self._now.revision:
            end_probation(self._folder)
        elif found.starts == 0:
            write_probation(self._folder, replace(found, starts=1))
        elif (reversal := self.reversal()) is not None:
            self.apply(reversal)
            end_probation(self._folder)
            logger.warning(
                "settings that were never confirmed are as before: %s", ", ".join(reversal.changed)
            )
            return reversal
        return None

    def _write(self, stored: Stored) -> None:
        content = {"revision": stored.revision, "sha256": stored.digest, "settings": stored.values()}
        line = json.dumps(content, indent=1).encode()
        with written(self._folder / NOW, private=True) as part:
            part.write_bytes(line)
        # Second: a copy that is ahead of what holds would never be wanted.
        with written(self._folder / LAST, private=True) as part:
            part.write_bytes(line)

    def _found(self) -> Stored | None:
        """Read what is there, the copy where the newest is damaged; raises ConfigError where both are."""
        now, last = self._folder / NOW, self._folder / LAST
        try:
            return _read(now)
        except FileNotFoundError:
            if not last.exists():
                return None
            damage = ConfigError(f"{now}: is gone")
        except ConfigError as exc:
            damage = exc
        try:
            good = _read(last)
        except (FileNotFoundError, ConfigError) as exc:
            raise ConfigError(f"{damage}; put it back from a copy, or delete {self._folder}") from exc
        logger.warning("%s; the last good settings hold: %s", damage, last)
        # The copy may be one behind what was damaged.
        mended = Stored(good.settings, good.revision + 2)
        self._write(mended)
        return mended


def settings_in(state: Path) -> Settings | None:
    """Return the settings of a state folder that another process owns; mends nothing. Raises ConfigError."""
    try:
        return _read(state / FOLDER / NOW).settings
    except FileNotFoundError:
        return None


def _read(path: Path) -> Stored:
    """Read one file; raises FileNotFoundError, ConfigError."""
    try:
        told = read_json(path.read_bytes(), LONGEST)
        revision, digest = told["revision"], told["sha256"]
    except FileNotFoundError:
        raise
    except (OSError, NotStrict, KeyError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    if type(revision) is not int or revision < 1:
        raise ConfigError(f"{path}: revision: is no positive number")
    stored = Stored(read_settings(path, told.get("settings")), revision)
    if stored.digest != digest:
        raise ConfigError(f"{path}: sha256: does not fit the settings")
    return stored
