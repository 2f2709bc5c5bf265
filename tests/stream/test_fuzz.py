"""Malformed offers and fragments: always a problem in the 400s (or an answer), never a failure of ours."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.stream.offer import read_fragment, read_offer
from firmware.stream.sdp import OfferMalformed, OfferUnacceptable
from tests.stream.peer import viewer
from tests.stream.rig import rig

OFFER = re.sub(
    r"\n *",
    "\r\n",
    """v=0
    o=- 1 1 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0
    m=video 9 UDP/TLS/RTP/SAVPF 102 103
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:abcd
    a=ice-pwd:abcdefghijklmnopqrstuvwx
    a=fingerprint:sha-256 """
    + ":".join(["AB"] * 32)
    + """
    a=setup:actpass
    a=mid:0
    a=recvonly
    a=rtcp-mux
    a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
    a=rtpmap:102 H264/90000
    a=rtcp-fb:102 nack pli
    a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
    a=rtpmap:103 rtx/90000
    a=fmtp:103 apt=102
    a=ssrc:1234 cname:x
    a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host
    """,
)
LINES = OFFER.split("\r\n")[:-1]
VALUES = st.sampled_from(
    ["", " ", "0", "-1", "9" * 40, "a" * 300, "é", "\x00", ":", "x y z", "IN IP4", "102", "/"]
)


@st.composite
def broken(draw: st.DrawFn) -> str:
    """An offer with a few lines dropped, doubled, moved or given another value."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["drop", "double", "move", "value", "cut", "word"]))
        line = lines[at]
        if change == "drop":
            lines.pop(at)
        elif change == "double":
            lines.insert(draw(st.integers(0, len(lines))), line)
        elif change == "move":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif change == "value":
            lines[at] = re.split(r"[:=]", line)[0] + draw(st.sampled_from([":", "=", ""])) + draw(VALUES)
        elif change == "cut":
            lines[at] = line[: draw(st.integers(0, len(line)))]
        else:
            words = line.split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(VALUES)
            lines[at] = " ".join(words)
    return "\r\n".join(lines) + "\r\n"


@given(st.one_of(broken(), st.text(max_size=300), st.text(max_size=100).map(lambda text: "v=0\r\n" + text)))
@settings(max_examples=250, deadline=None)
def test_reading_an_offer_ends_in_an_offer_or_a_refusal(text: str) -> None:
    with suppress(OfferMalformed, OfferUnacceptable):
        assert read_offer(text).video.kind == "video"


@given(
    st.one_of(
        st.text(max_size=300), st.lists(st.sampled_from([*LINES, "a=end-of-candidates"])).map("\n".join)
    )
)
@settings(max_examples=200, deadline=None)
def test_reading_a_fragment_ends_in_a_fragment_or_a_refusal(text: str) -> None:
    with suppress(OfferMalformed):
        assert len(read_fragment(text).candidates) <= 32


def _samples(count: int) -> Iterator[str]:
    found: list[str] = []

    @given(broken())
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return iter(found)


@pytest.fixture(scope="module")
def offers() -> list[str]:
    return list(dict.fromkeys(_samples(300)))


async def test_the_unbroken_offer_is_taken() -> None:
    async with rig() as r:
        assert (await r.post(OFFER))[0] == 201


async def test_broken_offers_never_fail_the_server(offers: list[str]) -> None:
    seen: dict[int, int] = {}
    async with rig() as r, viewer() as v:
        for text in offers:
            code, headers, body = await r.post(text.encode("utf-8", "surrogatepass"))
            seen[code] = seen.get(code, 0) + 1
            assert code in (201, 400, 422), (code, text, body)
            if code == 201:
                async with r.http.delete(r.url + headers["Location"]) as ended:
                    assert ended.status == 200
            else:
                assert json.loads(body)["status"] == code
        assert len(seen) == 3, seen
        assert await r.sessions() == 0
        assert (await r.post(await v.offer()))[0] == 201
    await asyncio.sleep(0)
