"""Log-in: a name and a password, and a code where the account has one; or a passkey."""

import asyncio
from collections.abc import Mapping

from firmware.access.passkeys import PasskeyRefused, Passkeys, Place
from firmware.access.people import LONGEST_PASSWORD, People, Person
from firmware.access.sessions import Session, Sessions
from firmware.access.throttle import Failures, Queue
from firmware.audit import Act, Audit
from firmware.ports import Clock


class LogInRefused(Exception):
    """Name, password, code or passkey are not right; `known` names the account that was tried."""

    def __init__(self, why: str, known: str | None) -> None:
        super().__init__(why)
        self.known = known


class SecondNeeded(Exception):
    """The password is right, and the account has a second factor."""


class LogIn:
    """The way to a session."""

    def __init__(
        self, people: People, sessions: Sessions, passkeys: Passkeys, audit: Audit, clock: Clock
    ) -> None:
        self._people = people
        self._sessions = sessions
        self._passkeys = passkeys
        self._audit = audit
        self._by_network = Failures(clock)
        # Whoever gets here has the password: this may keep its holder waiting, as nothing else does.
        self._codes = Failures(clock)
        self._queue = Queue()

    async def by_password(
        self, name: str, password: str, code: str | None, network: str
    ) -> tuple[str, Session]:
        """Return a token and its session.

        Raises:
            Throttled: that network, or codes for that account, have failed too often.
            LogInRefused: something is not right, and not said what.
            SecondNeeded: the code is missing.
            AuditUnwritable: it cannot be recorded.
        """
        self._by_network.require(network)
        left = self._by_network.left(network)
        # Spent before the first await, so that many at once are not one.
        self._by_network.spend(network)
        async with self._queue.turn(left):
            fits = await asyncio.to_thread(self._people.fits_password, name, password[: LONGEST_PASSWORD + 1])
        person = self._people.find(name)
        if not fits or person is None:
            raise LogInRefused("name, password or code are not right", None if person is None else name)
        if person.has_second:
            await self._require_second(person, code, network)
        self._by_network.give_back(network)
        return await self._begin(person, "password", network, strong=person.has_second)

    async def _require_second(self, person: Person, code: str | None, network: str) -> None:
        self._codes.require(person.name)
        if not code:
            self._by_network.give_back(network)
            raise SecondNeeded
        self._codes.spend(person.name)
        if not await asyncio.to_thread(self._people.takes_code, person.name, code):
            raise LogInRefused("name, password or code are not right", person.name)
        self._codes.give_back(person.name)

    async def by_passkey(self, place: Place, told: Mapping[str, object], network: str) -> tuple[str, Session]:
        """Return a token and its session; raises Throttled, LogInRefused, AuditUnwritable."""
        self._by_network.require(network)
        self._by_network.spend(network)
        try:
            person = await asyncio.to_thread(self._passkeys.logged_in, place, told)
        except PasskeyRefused as exc:
            raise LogInRefused(str(exc), None) from exc
        self._by_network.give_back(network)
        return await self._begin(person, "passkey", network, strong=True)

    async def _begin(self, person: Person, how: str, network: str, *, strong: bool) -> tuple[str, Session]:
        await asyncio.to_thread(self._people.note_seen, person.name)
        token, session = self._sessions.begin(person.name, strong=strong)
        about = {"session": session.id, "by": how, "second_factor": strong, "from": network}
        try:
            await self._audit.record(Act.LOG_IN, person.name, about)
        except BaseException:
            self._sessions.end(session.id)
            raise
        return token, session
