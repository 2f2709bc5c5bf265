"""The table of sessions: admits up to a bound and ends those that died or never connected."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firmware.core.frames import Redacted
from firmware.fanout import Fanout
from firmware.stream.aiortc_seams import CLOSING_ERRORS
from firmware.stream.ice import IcePolicy
from firmware.stream.session import Session

logger = logging.getLogger(__name__)

ANYBODY = "anybody"
"""The holder of a session that nobody had to log in for."""

WAITING = 4
"""Sessions of one address that may be under way at the same time; a quarter of all where that is more."""

NEGOTIATE_S = 10.0
CLOSE_S = 5.0
REAP_EVERY_S = 0.5


class TooManyViewers(Exception):
    """The bound on sessions, or on those of one address that do not connect, is reached."""


class Viewers:
    """Every session of the redacted rendition."""

    def __init__(
        self, fanout: Fanout[Redacted], policy: IcePolicy, *, most: int, connect_within_s: float
    ) -> None:
        self._fanout = fanout
        self._policy = policy
        self._most = most
        self._within = connect_within_s
        self._sessions: dict[str, Session] = {}
        self._addresses: dict[str, str] = {}
        self.reaped = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, name: str) -> Session | None:
        """Return the session of that id."""
        return self._sessions.get(name)

    async def open(self, offer: str, viewer: str, holder: str) -> tuple[Session, str]:
        """Open a session of `holder` for a viewer at the address `viewer` and return it with the answer.

        Raises:
            TooManyViewers: the bound is reached.
            OfferMalformed, OfferUnacceptable, NoAddress: see `Session.answer`.
            TimeoutError: the negotiation took too long.
        """
        if len(self._sessions) >= self._most or self._waiting(viewer) >= max(WAITING, self._most // 4):
            raise TooManyViewers
        session = Session(self._fanout, self._policy.plan(viewer), holder)
        self._sessions[session.id] = session  # before the first await, so that the bound holds
        self._addresses[session.id] = viewer
        answered = False
        try:
            async with asyncio.timeout(NEGOTIATE_S):
                answer = await session.answer(offer)
            answered = True
        finally:
            if not answered:
                await self.end(session.id)
        return session, answer

    def _waiting(self, viewer: str) -> int:
        """Count an address's sessions that are not connected: who never connects takes few places."""
        mine = (name for name, address in self._addresses.items() if address == viewer)
        return sum(not self._sessions[name].connected for name in mine)

    async def end(self, name: str) -> bool:
        """End a session; returns False where there is none of that id."""
        self._addresses.pop(name, None)
        session = self._sessions.pop(name, None)
        if session is None:
            return False
        try:
            async with asyncio.timeout(CLOSE_S):
                await session.close()
        except TimeoutError:
            logger.warning("a viewer's session did not close within %s s", CLOSE_S)
        except CLOSING_ERRORS as exc:
            # One viewer's odd end must not end the reaper, and with it the camera.
            logger.warning("a viewer's session closed with %s", type(exc).__name__)
        return True

    async def end_of(self, holder: str) -> int:
        """End every session of a holder, as when a grant is revoked; returns how many there were."""
        names = [name for name, session in self._sessions.items() if session.holder == holder]
        await self._end_all(names)
        return len(names)

    @asynccontextmanager
    async def running(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Keep the table for the length of the block; then end every session.

        The task group is the caller's: an error of the reaper ends the camera, not only its server.
        """
        reaper = tasks.create_task(self.reap(), name="stream reaper")
        try:
            yield
        finally:
            reaper.cancel()
            await self._end_all(list(self._sessions))

    async def reap(self) -> None:
        """End dead sessions for as long as the server runs."""
        while True:
            await asyncio.sleep(REAP_EVERY_S)
            dead = [name for name, session in self._sessions.items() if session.dead(self._within)]
            self.reaped += len(dead)
            # Together, so that one slow end does not keep the others' places.
            await self._end_all(dead)

    async def _end_all(self, names: list[str]) -> None:
        async with asyncio.TaskGroup() as closing:
            for name in names:
                closing.create_task(self.end(name))
