"""Grants: who may see the raw picture, why and until when.

    asked ──approve──▶ live ──▶ ended (expired, revoked, log-out, role, policy, clock)
      ╰─────deny─────▶ ended

A grant is recorded before it lives, and it lives in memory alone: a restart ends them all. `lives` is asked
again for every packet, so that nothing but the answer of this moment lets one through; `run` notices what
ends by itself. Time is counted by the monotonic clock; where the wall clock jumps away from it, records could
not be trusted any more, and grants end.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from firmware.access.roles import Right
from firmware.access.sessions import Sessions
from firmware.audit import Act, Audit
from firmware.config.settings import Settings
from firmware.core.grant import Grant
from firmware.errors import AuditUnwritable
from firmware.ports import Clock

logger = logging.getLogger(__name__)

ASKED_FOR_S = 1800.0
"""How long a request waits for somebody to approve it."""
REVIEW_S = 0.25
JUMP_NS = 60 * 1_000_000_000
MOST_OPEN, MOST_EACH, MOST_ENDED = 64, 4, 50
SHORTEST_PURPOSE, LONGEST_PURPOSE = 10, 300


class State(StrEnum):
    """How far a grant is."""

    ASKED = "asked"
    LIVE = "live"
    ENDED = "ended"


class GrantRefused(Exception):
    """A grant cannot be asked for, approved or renewed so; the text says why."""


class NoSuchGrant(Exception):
    """There is no open grant of that id."""


@dataclass(slots=True)
class Case:
    """A grant with what changes about it; times in seconds of the monotonic clock."""

    grant: Grant
    minutes: int
    state: State
    until_s: float
    offset_ns: int
    """The wall clock's lead over the monotonic one when it began."""
    renewal: int | None = None
    """Minutes that its holder asks for on top."""
    why: str = ""
    end_recorded: bool = field(default=True, repr=False)


class Grants:
    """Every grant of this process. Use it on the loop only."""

    def __init__(
        self, settings: Callable[[], Settings], sessions: Sessions, audit: Audit, clock: Clock
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._open: OrderedDict[str, Case] = OrderedDict()
        self._ended: deque[Case] = deque(maxlen=MOST_ENDED)
        self._watchers: list[Callable[[str], None]] = []
        self._changed = asyncio.Event()

    def watch(self, ended: Callable[[str], None]) -> None:
        """Have somebody told the id of every grant that ends, at once."""
        self._watchers.append(ended)

    def cases(self) -> list[Case]:
        """Return what is open and what ended lately, newest first."""
        return [*reversed(self._open.values()), *reversed(self._ended)]

    def left_s(self, case: Case) -> float:
        """Return how many seconds a grant, or a request, has left."""
        return max(0.0, case.until_s - self._now_s()) if case.state is not State.ENDED else 0.0

    def any_live(self) -> bool:
        """Say whether anybody may see the raw picture right now."""
        return any(self.lives(case.grant) for case in self._open.values())

    def lives(self, grant: Grant) -> bool:
        """Say whether a grant holds at this moment; nothing is remembered from a moment ago."""
        case = self._open.get(grant.id)
        return case is not None and case.state is State.LIVE and self._over(case) is None

    def by_id(self, name: str) -> Grant | None:
        """Return the live grant of an id."""
        case = self._open.get(name)
        return case.grant if case is not None and self.lives(case.grant) else None

    def of_session(self, session: str) -> Grant | None:
        """Return the live grant of a log-in."""
        held = (case.grant for case in self._open.values() if case.grant.session == session)
        return next((grant for grant in held if self.lives(grant)), None)

    async def ask(self, name: str, session: str, purpose: str, minutes: int) -> Case:
        """Ask for a grant; it lives at once where the policy asks for no second person.

        Raises:
            GrantRefused: the policy, the purpose or the time do not allow it, or too many are open.
            AuditUnwritable: it cannot be recorded.
        """
        policy = self._settings().raw
        self._require(purpose, minutes)
        mine = [case for case in self._open.values() if case.grant.holder == name]
        if any(case.grant.session == session for case in mine):
            raise GrantRefused("this log-in has an open grant or request; end it first")
        if len(mine) >= MOST_EACH or len(self._open) >= MOST_OPEN:
            raise GrantRefused("too many grants are open; end one first")
        grant = Grant(secrets.token_hex(8), name, session, purpose, None)
        case = Case(grant, minutes, State.ASKED, self._now_s() + ASKED_FOR_S, self._offset_ns())
        # Before the first await, so that the bounds hold.
        self._open[grant.id] = case
        about = _about(case)
        try:
            await self._audit.record(Act.GRANT_ASKED, name, about)
            if policy == "alone":
                await self._begin(case, grant, name)
        except AuditUnwritable:
            self._open.pop(grant.id, None)
            raise
        return case

    async def approve(self, name: str, grant_id: str) -> Case:
        """Approve a request, or a renewal that was asked for, as somebody else than its holder.

        Raises:
            NoSuchGrant: nothing open has that id.
            GrantRefused: they are the holder, or it lives and no renewal was asked for.
            AuditUnwritable: it cannot be recorded.
        """
        case = self._find(grant_id)
        if name == case.grant.holder:
            raise GrantRefused("somebody else has to approve it")
        if case.state is State.ASKED:
            held = case.grant
            await self._begin(case, Grant(held.id, held.holder, held.session, held.purpose, name), name)
        elif case.renewal is not None:
            await self._renew(case, case.renewal, name)
        else:
            raise GrantRefused("it lives, and no renewal was asked for")
        return case

    async def renew(self, name: str, grant_id: str, minutes: int) -> Case:
        """Ask for more time; it is given at once where the policy asks for no second person.

        Raises:
            NoSuchGrant: they hold no live grant of that id.
            GrantRefused: the time is too long.
            AuditUnwritable: it cannot be recorded.
        """
        case = self._find(grant_id)
        if case.grant.holder != name or case.state is not State.LIVE:
            raise NoSuchGrant
        self._require(case.grant.purpose, minutes)
        if self._settings().raw == "alone":
            await self._renew(case, minutes, name)
        else:
            await self._audit.record(Act.GRANT_ASKED, name, _about(case) | {"renewal_minutes": minutes})
            case.renewal = minutes
        return case

    async def end(self, grant_id: str, name: str, why: str) -> Case:
        """End a grant or a request: the picture stops before this is recorded; raises NoSuchGrant."""
        case = self._find(grant_id)
        await self._end(case, name, why)
        return case

    async def run(self) -> None:
        """End what is over, for as long as the camera runs."""
        while True:
            for case in list(self._open.values()):
                why = self._over(case)
                if why is not None:
                    await self._end(case, "camera", why)
            for case in self._ended:
                if not case.end_recorded:
                    await self._record_end(case, "camera")
            await asyncio.sleep(REVIEW_S)

    async def some(self) -> None:
        """Wait until a grant lives."""
        while not self.any_live():
            self._changed.clear()
            await self._changed.wait()

    async def none(self) -> None:
        """Wait until no grant lives; what ends by itself ends when `run` notices."""
        while self.any_live():
            self._changed.clear()
            await self._changed.wait()

    async def _begin(self, case: Case, grant: Grant, name: str) -> None:
        """Have a grant live, once it is recorded."""
        if self._settings().raw == "never":
            raise GrantRefused("the owner's settings allow nobody to see the raw picture")
        # Its time begins now: waiting for the record must not prolong it.
        until_s, offset_ns = self._now_s() + case.minutes * 60, self._offset_ns()
        await self._audit.record(Act.GRANT_GIVEN, name, _about(case) | {"approver": grant.approver})
        if self._open.get(grant.id) is not case or case.state is not State.ASKED:
            # It was ended, or approved by another, while this waited for the disk.
            raise NoSuchGrant
        case.grant, case.state, case.until_s, case.offset_ns = grant, State.LIVE, until_s, offset_ns
        self._changed.set()

    async def _renew(self, case: Case, minutes: int, name: str) -> None:
        until_s = self._now_s() + minutes * 60
        await self._audit.record(Act.GRANT_RENEWED, name, _about(case) | {"renewal_minutes": minutes})
        if case.state is not State.LIVE:
            raise NoSuchGrant
        case.until_s, case.renewal = until_s, None

    async def _end(self, case: Case, name: str, why: str) -> None:
        if self._open.pop(case.grant.id, None) is None:
            return
        case.state, case.why = State.ENDED, why
        self._ended.append(case)
        self._changed.set()
        for told in self._watchers:
            told(case.grant.id)
        await self._record_end(case, name)

    async def _record_end(self, case: Case, name: str) -> None:
        # Before the first await, so that `run` does not record it, too.
        case.end_recorded = True
        try:
            await self._audit.record(Act.GRANT_ENDED, name, _about(case) | {"why": case.why})
        except AuditUnwritable as exc:
            # It has ended whatever the disk says; `run` tries again.
            logger.warning("the end of a grant is not recorded yet: %s", exc)
            case.end_recorded = False

    def _over(self, case: Case) -> str | None:
        """Return why a grant or a request is over; None where it is not."""
        if self._now_s() >= case.until_s:
            return "expired"
        principal = self._sessions.principal(self._sessions.by_id(case.grant.session))
        if principal.session is None:
            return "log-in ended"
        if Right.ASK not in principal.rights:
            return "role taken away"
        if self._settings().raw == "never":
            return "settings"
        if abs(self._offset_ns() - case.offset_ns) > JUMP_NS:
            return "clock jumped"
        return None

    def _require(self, purpose: str, minutes: int) -> None:
        settings = self._settings()
        if settings.raw == "never":
            raise GrantRefused("the owner's settings allow nobody to see the raw picture")
        if not SHORTEST_PURPOSE <= len(purpose.strip()) <= LONGEST_PURPOSE:
            raise GrantRefused(f"say what for, in {SHORTEST_PURPOSE} to {LONGEST_PURPOSE} characters")
        if not 1 <= minutes <= settings.raw_minutes:
            raise GrantRefused(f"a grant lasts 1 to {settings.raw_minutes} minutes")

    def _find(self, grant_id: str) -> Case:
        case = self._open.get(grant_id)
        if case is None or self._over(case) is not None:
            raise NoSuchGrant
        return case

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _offset_ns(self) -> int:
        return self._clock.wall_ns() - self._clock.monotonic_ns()


def _about(case: Case) -> dict[str, object]:
    grant = case.grant
    return {
        "grant": grant.id,
        "holder": grant.holder,
        "session": grant.session,
        "purpose": grant.purpose,
        "minutes": case.minutes,
    }
