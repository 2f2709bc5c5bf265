"""Offers that would keep aiortc busy are refused before it sees them, and trickled candidates are counted."""

import asyncio

import pytest

from firmware.fanout import Fanout
from firmware.stream import session
from firmware.stream.feed import RedactedFeed
from firmware.stream.ice import IcePlan
from firmware.stream.offer import MAX_CANDIDATES, OfferMalformed, OfferUnacceptable, read_fragment, read_offer
from firmware.stream.session import FragmentRefused, Session
from tests.fanout.packets import silent_fanout
from tests.stream.peer import viewer
from tests.stream.rig import rig


async def real_offer() -> str:
    """Return the offer of a real player."""
    async with viewer() as v:
        return await v.offer()


FLOODS = {
    "codecs times feedback": "".join(f"a=rtpmap:{n % 128} H264/90000\r\n" for n in range(1300))
    + "a=rtcp-fb:* nack pli\r\n" * 900,
    "feedback for all": "a=rtcp-fb:* nack pli\r\n" * 17,
    "codecs": "a=rtpmap:96 H264/90000\r\n" * 65,
    "extensions": "".join(f"a=extmap:{n} urn:x:{n}\r\n" for n in range(60)),
    "parameters": "a=fmtp:96 x=1\r\n" * 65,
    "lines of no meaning": "a=x\r\n" * 2000,
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_is_refused_before_aiortc_sees_it(flood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = await real_offer() + FLOODS[flood]
    with pytest.raises((OfferMalformed, OfferUnacceptable)):
        read_offer(offer)

    def never(text: str) -> None:
        raise AssertionError("aiortc was shown it")

    monkeypatch.setattr(session, "require_parsable", never)
    async with rig() as r:
        status, _, _ = await r.post(offer)
        assert status in {400, 422}


async def test_what_is_not_known_is_left_out_and_the_rest_is_as_it_was() -> None:
    offer = await real_offer()
    strange = offer.replace("m=video", "a=x-strange:1\r\nm=video") + "a=x-other\r\na=ssrc:1 cname:x\r\n"
    kept = read_offer(strange).text
    assert "strange" not in kept
    assert "x-other" not in kept
    lines = set(kept.splitlines())
    assert lines <= set(offer.splitlines())
    assert {line for line in offer.splitlines() if line[:2] in {"v=", "o=", "s=", "t=", "m=", "c="}} <= lines
    assert any(line.startswith("a=rtpmap:") for line in lines)


async def test_a_session_takes_so_many_candidates_and_no_more() -> None:
    fanout: Fanout = silent_fanout()
    one = Session(RedactedFeed(fanout, "anybody", bool), IcePlan(("127.0.0.1",), loopback_only=True))
    async with viewer() as v:
        offer = await v.offer()
        await one.answer(offer)
        begun = offer.count("a=candidate")
        lines = "".join(
            f"a=candidate:{n} 1 udp 1 127.0.0.1 {40_000 + n} typ host\r\n"
            for n in range(MAX_CANDIDATES - begun)
        )
        await one.trickle(read_fragment(lines))
        with pytest.raises(FragmentRefused, match="at most"):
            await one.trickle(read_fragment("a=candidate:99 1 udp 1 127.0.0.1 50000 typ host\r\n"))
    await one.close()
    await asyncio.sleep(0)
    fanout.close()
