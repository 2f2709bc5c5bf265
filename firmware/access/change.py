"""How settings are changed: whoever may, with the owner's signature where privacy gets weaker."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from firmware.access.owner import Ownership
from firmware.access.statement import Expected, StatementRefused, verify
from firmware.audit import Act, Audit
from firmware.config.probation import CUTTING
from firmware.config.settings import Settings
from firmware.config.store import Proposal, RevisionMoved, SettingsStore, Stored
from firmware.ports import Clock

KIND = "settings"

Check: TypeAlias = Callable[[Settings], object]
"""Raises ConfigError where settings cannot work on this machine; may wait for it."""


class NeedsSignature(Exception):
    """The change weakens privacy and needs a statement of the owner."""


class GovernedSettings:
    """The settings of a camera, and the one way to change them."""

    def __init__(
        self, store: SettingsStore, ownership: Ownership, audit: Audit, device: str, clock: Clock
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._audit = audit
        self._device = device
        self._clock = clock
        self._lock = asyncio.Lock()
        self._watchers: list[Callable[[Settings], None]] = []
        self._checks: list[Check] = []

    @property
    def now(self) -> Stored:
        """What holds."""
        return self._store.now

    def __call__(self) -> Settings:
        """Return the settings that hold."""
        return self._store.now.settings

    def check(self, one: Check) -> None:
        """Have every change checked by one more."""
        self._checks.append(one)

    def watch(self, told: Callable[[Settings], None]) -> None:
        """Have somebody told of every change, on the loop, once it holds."""
        self._watchers.append(told)

    async def change(
        self,
        who: str,
        patch: Mapping[str, object],
        statement: str | None = None,
        revision: int | None = None,
        *,
        guarded: bool = False,
    ) -> Proposal:
        """Change some keys on somebody's behalf, and return what changed; it is recorded first.

        Where it is `guarded` and could cut the camera off, it is on probation: see `confirm` and `revert`.

        Raises:
            ConfigError: a key or a value is not valid.
            RevisionMoved: the settings are not at `revision` any more.
            NeedsSignature: it weakens privacy, and there is no statement, or nobody who could sign one.
            StatementRefused: the statement is not right, or says something else.
            OutputError: it, or the record, cannot be written.
        """
        async with self._lock:
            proposal = self._store.propose(patch)
            if revision is not None and revision != proposal.before.revision:
                raise RevisionMoved
            if proposal.weaker:
                self._require_said(proposal, patch, statement)
            for one in self._checks:
                await asyncio.to_thread(one, proposal.after.settings)
            if proposal.changed:
                probation = guarded and not CUTTING.isdisjoint(proposal.changed)
                await self._hold(who, proposal, _about(proposal), probation=probation)
        return proposal

    @property
    def on_probation(self) -> bool:
        """Whether what holds has to be confirmed; waits for the disk."""
        return self._store.on_probation

    async def confirm(self) -> None:
        """Have what is on probation hold."""
        async with self._lock:
            await asyncio.to_thread(self._store.confirm)

    async def revert(self, why: str) -> Proposal | None:
        """Take back what is on probation, and return what changed by that; None where nothing is.

        Nobody has to sign for it: it held a moment ago.

        Raises:
            OutputError: it, or the record, cannot be written.
        """
        async with self._lock:
            reversal = await asyncio.to_thread(self._store.reversal)
            if reversal is None:
                return None
            await self._hold("camera", reversal, _about(reversal) | {"reverted": why}, probation=False)
            await asyncio.to_thread(self._store.confirm)
        return reversal

    def note(self, reversal: Proposal) -> None:
        """Record what a start took back; waits for the disk, raises AuditUnwritable."""
        about = _about(reversal) | {"reverted": "a start with it was never confirmed"}
        self._audit.write(Act.SETTINGS, "camera", about)

    async def _hold(
        self, who: str, proposal: Proposal, about: Mapping[str, object], *, probation: bool
    ) -> None:
        await self._audit.record(Act.SETTINGS, who, about)
        await asyncio.to_thread(partial(self._store.apply, proposal, probation=probation))
        for told in self._watchers:
            told(proposal.after.settings)

    def _require_said(self, proposal: Proposal, patch: Mapping[str, object], statement: str | None) -> None:
        weaker, owner = ", ".join(proposal.weaker), self._ownership.owner
        if owner is None:
            raise NeedsSignature(
                f"{weaker}: this weakens privacy, and there is no owner who could sign it; claim the camera"
            )
        if statement is None:
            raise NeedsSignature(
                f"{weaker}: this weakens privacy; have it signed: veilcam owner sign --device {self._device} "
                f"--revision {proposal.after.revision} KEY=VALUE..."
            )
        now_s = self._clock.wall_ns() / 1e9
        said = verify(statement, owner, Expected(KIND, self._device, proposal.after.revision, now_s))
        if dict(said.content) != dict(patch):
            raise StatementRefused("it says something else than the change")


def _about(proposal: Proposal) -> dict[str, object]:
    """Return what the record says of a change."""
    before, after = proposal.before.values(), proposal.after.values()
    return {
        "revision": proposal.after.revision,
        "digest": proposal.after.digest,
        "changed": {key: [before[key], after[key]] for key in proposal.changed},
        "signed_for": list(proposal.weaker),
    }
