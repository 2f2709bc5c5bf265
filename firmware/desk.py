"""Everything that the state folder says about who may do what, and the interface to it.

A running camera and a command line without one open the same desk, so that there is one way to change it.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from firmware.access.change import GovernedSettings
from firmware.access.grants import Grants
from firmware.access.identity import Identity, open_identity
from firmware.access.login import LogIn
from firmware.access.owner import Ownership
from firmware.access.passkeys import Passkeys
from firmware.access.people import People
from firmware.access.sealing import FILE
from firmware.access.sessions import Sessions
from firmware.audit import Audit
from firmware.config.settings import Settings
from firmware.config.store import SettingsStore
from firmware.errors import VeilcamError
from firmware.ports import Clock
from firmware.remote.service import RemoteService
from firmware.status import BrokerVitals, StorageVitals, Vitals
from firmware.stream.api.audit import AuditApi
from firmware.stream.api.claim import Claim
from firmware.stream.api.grants import GrantsApi
from firmware.stream.api.me import MeApi
from firmware.stream.api.remote import RemoteApi
from firmware.stream.api.session import SessionApi
from firmware.stream.api.settings import SettingsApi
from firmware.stream.api.update import UpdateApi
from firmware.stream.api.users import UsersApi
from firmware.stream.gate import Gate
from firmware.stream.server import Routes
from firmware.update.device import ANY_BOARD, Board
from firmware.update.service import UpdateService

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """The device, its owner, its settings, its record and its people, and the routes that lead to them."""

    identity: Identity
    ownership: Ownership
    settings: GovernedSettings
    audit: Audit
    people: People
    sessions: Sessions
    grants: Grants
    updates: UpdateService
    remote: RemoteService
    gate: Gate
    routes: Sequence[Routes]

    def vitals(self) -> Vitals:
        """Say how broker, record, updates and disk are; waits for the disk. What cannot be read is None."""
        head, kept = self.audit.head, self.audit.kept
        return Vitals(
            broker=_broker_vitals(self.remote),
            certificate_ends_s=_known(self.remote.certificate_ends_s),
            audit_entries=head.n,
            audit_unanchored=None if kept is None else head.n - kept.n,
            update=_known(self.updates.vitals),
            storage=_known(lambda: _storage(self.updates.state)),
        )


def _known(read: Callable[[], T]) -> T | None:
    """Return what is read, or None: one damaged file must not hide all the other metrics."""
    try:
        return read()
    except (VeilcamError, OSError) as exc:
        logger.warning("a metric is left out: %s", exc)
        return None


def _broker_vitals(remote: RemoteService) -> BrokerVitals:
    told = remote.connection()

    def count(key: str) -> int:
        value = told.get(key)
        return value if isinstance(value, int) else 0

    return BrokerVitals(
        remote.named, bool(told["up"]), count("connections"), count("waiting"), count("refused")
    )


def _storage(state: Path) -> StorageVitals:
    found = shutil.disk_usage(state)
    return StorageVitals(found.total, found.free)


async def open_desk(
    state: Path,
    clock: Clock,
    first: Settings | None = None,
    names: Sequence[str] | None = None,
    board: Board = ANY_BOARD,
    keys: str = FILE,
) -> Desk:
    """Open a state folder that this process owns; `first` are its settings where it has none yet,
    `names` those that a camera which starts now is reached by, `board` what updates have to be for,
    `keys` what new keys are bound to.

    Raises:
        ConfigError: what is there cannot be read, or the hardware that it needs does not answer.
        OutputError: the folder cannot be written.
    """
    return await asyncio.to_thread(_open, state, clock, first, names, board, keys)


def _open(
    state: Path, clock: Clock, first: Settings | None, names: Sequence[str] | None, board: Board, keys: str
) -> Desk:
    store = SettingsStore(state, first)
    reversal = None if names is None else store.begin()
    identity = open_identity(state, [*store.now.settings.host_names, *(names or ())], keys)
    ownership = Ownership(state, clock)
    audit = Audit(state, identity.keys, clock)
    settings = GovernedSettings(store, ownership, audit, identity.fingerprint, clock)
    if reversal is not None:
        settings.note(reversal)
    people = People(state, clock)
    sessions, passkeys = Sessions(people, clock), Passkeys(people, clock)
    log_in = LogIn(people, sessions, passkeys, audit, clock)
    grants = Grants(settings, sessions, audit, clock)
    updates = UpdateService(state, identity, ownership, board, clock)
    remote = RemoteService(state, identity, settings, clock)
    remote.settle()
    routes = (
        Claim(ownership, people, audit),
        SettingsApi(settings),
        AuditApi(audit, identity.keys),
        SessionApi(log_in, sessions, people, passkeys, audit),
        MeApi(people, sessions, passkeys, audit, clock, identity.fingerprint),
        UsersApi(people, sessions, audit),
        GrantsApi(grants),
        UpdateApi(updates, audit),
        RemoteApi(remote, audit),
    )
    gate = Gate(audit, sessions)
    return Desk(identity, ownership, settings, audit, people, sessions, grants, updates, remote, gate, routes)
