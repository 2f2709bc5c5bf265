"""Offers that would keep aiortc busy are cut before it sees them, and trickled candidates are counted."""

import asyncio
import re

import pytest
from aioice import Candidate

from firmware.core.frames import Redacted
from firmware.fanout import Fanout
from firmware.stream.feed import RedactedFeed
from firmware.stream.ice import IcePlan
from firmware.stream.offer import MAX_CANDIDATES, read_fragment, read_offer
from firmware.stream.sdp import OfferMalformed
from firmware.stream.session import FragmentRefused, Session
from tests.fanout.packets import silent_fanout
from tests.stream.peer import candidates, viewer
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
async def test_aiortc_is_shown_no_flood(flood: str) -> None:
    offer = await real_offer() + FLOODS[flood]
    try:
        shown = read_offer(offer).text
    except OfferMalformed:
        return
    assert len(shown.splitlines()) < 100
    assert "urn:x" not in shown
    async with rig() as r:
        assert (await r.post(offer))[0] == 201


async def test_aiortc_is_shown_nothing_but_what_it_needs() -> None:
    offer = await real_offer()
    strange = offer.replace("m=video", "a=x-strange:1\r\nm=video") + "a=x-other\r\na=ssrc:1 cname:x\r\n"
    shown = read_offer(strange).text
    names = {line[2:].partition(":")[0] for line in shown.splitlines() if line.startswith("a=")}
    assert names <= {
        *("ice-ufrag", "ice-pwd", "setup", "fingerprint", "mid", "recvonly", "rtcp-mux"),
        *("extmap", "rtpmap", "rtcp-fb", "fmtp", "candidate"),
    }
    assert set(re.findall("rtpmap:[0-9]+ (.*)\r", shown)) == {"H264/90000", "rtx/90000"}
    for line in candidates(offer):
        assert line in shown


def remote_candidates(session: Session[Redacted]) -> list[Candidate]:
    (transceiver,) = session._peer.getTransceivers()
    return list(transceiver.sender.transport.transport.iceGatherer._connection.remote_candidates)


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
        await one.trickle(read_fragment("a=candidate:99 1 udp 1 127.0.0.1 50000 typ host\r\n"))
        taken = remote_candidates(one)
        assert len(taken) == MAX_CANDIDATES
        assert 50_000 not in {candidate.port for candidate in taken}
        with pytest.raises(FragmentRefused, match="open a new session"):
            await one.trickle(read_fragment("a=ice-ufrag:other\r\n" + lines))
    await one.close()
    await asyncio.sleep(0)
    fanout.close()
