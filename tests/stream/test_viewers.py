"""Places: whoever opens many sessions and connects none leaves them to others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from firmware.core.frames import Redacted
from firmware.stream.feed import RedactedFeed
from firmware.stream.ice import IcePolicy, Reach
from firmware.stream.session import Session
from firmware.stream.viewers import NEGOTIATIONS, WAITING, TooManyViewers, Viewers
from tests.fanout.packets import silent_fanout
from tests.stream.peer import viewer
from tests.stream.rig import options_of, rig

MOST = 16


def feed(holder: str = "anybody") -> RedactedFeed:
    return RedactedFeed(silent_fanout(), holder, bool)


@asynccontextmanager
async def table(connect_within_s: float = 60) -> AsyncIterator[tuple[Viewers[Redacted], str]]:
    """Yield a table of MOST places and an offer for it."""
    fanout = silent_fanout()
    viewers: Viewers[Redacted] = Viewers(
        IcePolicy(Reach.LOOPBACK), most=lambda: MOST, connect_within_s=connect_within_s
    )
    async with viewer() as somebody, asyncio.TaskGroup() as tasks, viewers.running(tasks):
        yield viewers, await somebody.offer()
    assert len(viewers) == 0
    fanout.close()


async def test_one_address_has_few_places_until_it_connects() -> None:
    async with rig(options_of(ice_addresses="loopback", max_viewers=MOST)) as r, viewer() as v:
        offer = await v.offer()
        codes = [(await r.post(offer))[0] for _ in range(8)]
        assert codes == [201] * WAITING + [503] * 4
        assert await r.sessions() == WAITING


async def test_newcomers_are_let_in_however_many_addresses_sit_there_and_never_connect() -> None:
    async with table() as (viewers, offer):
        for attacker in range(MOST // WAITING):
            for _ in range(WAITING):
                await viewers.open(offer, f"192.0.2.{attacker}", feed())
        assert len(viewers) == MOST
        first = next(iter(viewers._places.values())).session
        for newcomer in range(39):
            session, _ = await viewers.open(offer, f"198.51.100.{newcomer}", feed())
            # It is let in and stays, whatever the others open meanwhile.
            for attacker in range(MOST // WAITING):
                with contextlib.suppress(TooManyViewers):
                    await viewers.open(offer, f"192.0.2.{attacker}", feed())
            assert viewers.find(session.id) is session
            assert len(viewers) <= MOST
            await viewers.end(session.id)
        assert viewers.find(first.id) is first, "the newest go first"


async def test_who_is_connected_never_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with table() as (viewers, offer):
        monkeypatch.setattr(Session, "connected", True)
        for _ in range(MOST):
            await viewers.open(offer, "192.0.2.1", feed())
        with pytest.raises(TooManyViewers):
            await viewers.open(offer, "198.51.100.1", feed())


async def test_in_a_crowd_there_is_less_time_to_connect() -> None:
    async with table(connect_within_s=3) as (viewers, offer):
        for attacker in range(MOST // WAITING):
            for _ in range(WAITING):
                await viewers.open(offer, f"192.0.2.{attacker}", feed())
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            while len(viewers) > MOST // 2:
                await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - begun < 2.5


async def test_few_offers_are_worked_on_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0
    answer = Session.answer

    async def counted(self: Session, text: str) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(0.01)
            return await answer(self, text)
        finally:
            under_way -= 1

    monkeypatch.setattr(Session, "answer", counted)
    async with table() as (viewers, offer):
        await asyncio.gather(*(viewers.open(offer, f"192.0.2.{n}", feed()) for n in range(10)))
        assert most == NEGOTIATIONS
