"""The table of sessions: admits up to a bound, makes room for newcomers, ends those that never connect."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, Protocol

from firmware.core.frames import V
from firmware.stream.aiortc_seams import CLOSING_ERRORS
from firmware.stream.feed import Feed
from firmware.stream.ice import IcePolicy
from firmware.stream.session import Session

logger = logging.getLogger(__name__)

WAITING = 4
"""Sessions of one address that may be under way at the same time; a quarter of all where that is more."""

NEGOTIATIONS = 2
"""Offers worked on at the same time. One stands on the loop for 2 ms, and for 14 at worst (CPU, x86-64)."""

CROWDED = 0.75
HURRY = 1 / 3
"""From this share of places taken on, who does not connect has this share of the time."""

NEGOTIATE_S = 10.0
CLOSE_S = 5.0
REAP_EVERY_S = 0.5


class TooManyViewers(Exception):
    """The bound on sessions, or on those of one address that do not connect, is reached."""


@dataclass(frozen=True, slots=True)
class Place(Generic[V]):
    """One session and the address of whoever opened it."""

    session: Session[V]
    address: str

    @property
    def waits(self) -> bool:
        """Whether it is not connected."""
        return not self.session.connected


class Records(Protocol[V]):
    """Is told of every session of a rendition that nobody may see unrecorded."""

    async def begun(self, session: Session[V], address: str) -> None:
        """Take note before the viewer gets an answer; what this raises keeps the session from being."""
        ...

    async def ended(self, session: Session[V]) -> None:
        """Take note that it is over."""
        ...


class Viewers(Generic[V]):
    """Every session of one rendition."""

    def __init__(
        self,
        policy: IcePolicy,
        *,
        most: Callable[[], int],
        connect_within_s: float,
        records: Records[V] | None = None,
    ) -> None:
        self._policy = policy
        self._most = most
        self._within = connect_within_s
        self._records: Records[V] | None = records
        self._places: dict[str, Place[V]] = {}
        self._hurry = asyncio.Event()
        self._negotiating = asyncio.Semaphore(NEGOTIATIONS)
        self.reaped = 0

    def __len__(self) -> int:
        return len(self._places)

    def find(self, name: str) -> Session[V] | None:
        """Return the session of that id."""
        place = self._places.get(name)
        return place.session if place else None

    async def open(self, offer: str, viewer: str, feed: Feed[V]) -> tuple[Session[V], str]:
        """Open a session for a viewer at the address `viewer` and return it with the answer.

        Raises:
            TooManyViewers: the bound is reached.
            OfferMalformed, OfferUnacceptable, NoAddress: see `Session.answer`.
            TimeoutError: the negotiation took too long, or too many were before it.
        """
        given_up = self._given_up_for(viewer)
        session: Session[V] = Session(feed, self._policy.plan(viewer))
        # Before the first await, so that the bounds hold.
        self._places[session.id] = Place(session, viewer)
        answered = False
        try:
            await self._close_all(given_up)
            async with asyncio.timeout(NEGOTIATE_S), self._negotiating:
                self._require_place(session)
                answer = await session.answer(offer)
            if self._records is not None:
                await self._records.begun(session, viewer)
            self._require_place(session)
            answered = True
        finally:
            if not answered:
                await self.end(session.id)
        return session, answer

    def _given_up_for(self, viewer: str) -> list[Session[V]]:
        """Return what leaves the table so that a newcomer has a place; raises TooManyViewers."""
        waiting = Counter(place.address for place in self._places.values() if place.waits)
        if waiting[viewer] >= max(WAITING, self._most() // 4):
            raise TooManyViewers
        if len(self._places) < self._most():
            return []
        # Whoever opens many and connects none gives way, the newest first: the older are nearer to it.
        greediest, _ = next(iter(waiting.most_common(1)), ("", 0))
        for name, place in reversed(self._places.items()):
            if place.waits and place.address == greediest != viewer:
                return [self._places.pop(name).session]
        raise TooManyViewers

    def _require_place(self, session: Session[V]) -> None:
        """Make sure that nobody else was given its place meanwhile; raises TooManyViewers."""
        if session.id not in self._places:
            raise TooManyViewers

    async def end(self, name: str) -> bool:
        """End a session; returns False where there is none of that id."""
        place = self._places.pop(name, None)
        if place is None:
            return False
        await self._close(place.session)
        return True

    async def end_of(self, holder: str) -> int:
        """End every session of a holder, as when a grant is revoked; returns how many there were."""
        names = [name for name, place in self._places.items() if place.session.holder == holder]
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
            await self._end_all(list(self._places))

    def hurry(self) -> None:
        """Have what is over ended now, and not at the next turn."""
        self._hurry.set()

    async def reap(self) -> None:
        """End sessions that are dead, or may not go on, for as long as the server runs."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), REAP_EVERY_S)
            self._hurry.clear()
            crowded = len(self._places) >= self._most() * CROWDED
            within = self._within * HURRY if crowded else self._within
            dead = [name for name, place in self._places.items() if place.session.dead(within)]
            self.reaped += len(dead)
            # Together, so that one slow end does not keep the others' places.
            await self._end_all(dead)

    async def _end_all(self, names: Iterable[str]) -> None:
        await self._close_all([self._places.pop(name).session for name in names if name in self._places])

    async def _close_all(self, sessions: Iterable[Session[V]]) -> None:
        async with asyncio.TaskGroup() as closing:
            for session in sessions:
                closing.create_task(self._close(session))

    async def _close(self, session: Session[V]) -> None:
        await _close(session)
        if self._records is not None:
            await self._records.ended(session)


async def _close(session: Session[V]) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await session.close()
    except TimeoutError:
        logger.warning("a viewer's session did not close within %s s", CLOSE_S)
    except CLOSING_ERRORS as exc:
        # One viewer's odd end must not end the reaper, and with it the camera.
        logger.warning("a viewer's session closed with %s", type(exc).__name__)
