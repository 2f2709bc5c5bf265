"""Offers of all shapes of real clients are answered; what the camera does not do is rejected alone."""

import re
from collections.abc import Callable, Mapping

import pytest

from firmware.stream.answer import write_answer
from firmware.stream.codecs import sendable
from firmware.stream.offer import MAX_CANDIDATES, read_fragment, read_offer
from firmware.stream.sdp import sections
from tests.stream.peer import candidates, strip_candidates, viewer
from tests.stream.rig import rig

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
ICE = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx"
GROUP = "a=group:BUNDLE 0"
CODEC = "a=rtpmap:102 H264/90000\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f"
VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 102
c=IN IP4 0.0.0.0
{ICE}
{FINGERPRINT}
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
{CODEC}
a=candidate:1 1 udp 2130706431 127.0.0.1 40001 typ host"""
AUDIO = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
{ICE}
{FINGERPRINT}
a=setup:actpass
a=mid:1
a=recvonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1"""
DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{ICE}
{FINGERPRINT}
a=setup:actpass
a=mid:2
a=sctp-port:5000
a=max-message-size:262144"""
HEAD = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0"


def offer(*media: str, session: str = "") -> str:
    """An offer of those media, bundled in their order unless the session part says otherwise."""
    mids = re.findall("a=mid:(.*)", "\n".join(media))
    group = f"a=group:BUNDLE {' '.join(mids)}"
    return "\r\n".join("\n".join([HEAD, session or group, *media, ""]).split("\n"))


def without(text: str, *starts: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith(starts))


SECOND = VIDEO.replace("a=mid:0", "a=mid:1").replace("a=candidate", "a=x")
TRANSPORT = ("a=ice-", "a=fingerprint", "a=setup", "a=candidate")
BARE = without(VIDEO, *TRANSPORT)

# Each with what is answered: ports by `v`ideo, `i`nactive or `0`, and the group.
SHAPES: Mapping[str, tuple[str, str, str]] = {
    "one video": (offer(VIDEO), "v", "0"),
    "video, sound and data, as MediaMTX's page": (offer(VIDEO, AUDIO, DATA), "vi0", "0 1"),
    "sound first, as whip-whep": (offer(AUDIO, VIDEO, session="a=group:BUNDLE 1 0"), "iv", "1 0"),
    "data first": (offer(DATA, VIDEO, session="a=group:BUNDLE 2 0"), "0v", "0"),
    "old data channel": (
        offer(VIDEO, "m=application 9 DTLS/SCTP 5000\na=mid:2\na=sctpmap:5000 webrtc-datachannel 256"),
        "v0",
        "0",
    ),
    "two videos": (offer(VIDEO, SECOND), "v0", "0"),
    "the second video alone has H.264": (
        offer(VIDEO.replace("H264", "VP9").replace("mid:0", "mid:3"), VIDEO, session="a=group:BUNDLE 3 0"),
        "iv",
        "3 0",
    ),
    "the second video alone is to receive": (
        offer(SECOND.replace("recvonly", "sendonly"), VIDEO, session="a=group:BUNDLE 0 1"),
        "0v",
        "0",
    ),
    "an unknown kind": (offer(VIDEO, "m=text 9 RTP/AVP 98 99\na=mid:1"), "v0", "0"),
    "an unknown protocol": (offer(VIDEO, "m=application 9 TCP/MSRP *\na=mid:2"), "v0", "0"),
    "a media that is withdrawn": (offer("m=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:1", VIDEO), "0v", "0"),
    "only to be bundled": (
        offer(AUDIO, BARE.replace("video 9", "video 0") + "\na=bundle-only", session="a=group:BUNDLE 1 0"),
        "iv",
        "1 0",
    ),
    "transport in the first of the bundle alone": (
        offer(AUDIO, without(BARE, "a=rtcp-mux"), session="a=group:BUNDLE 1 0"),
        "iv",
        "1 0",
    ),
    "no group, as webrtcbin": (offer(AUDIO, VIDEO, session="a=x"), "0v", ""),
    "a group of others": (offer(AUDIO, VIDEO, session="a=group:BUNDLE 1"), "0v", ""),
    "a group with who is not there": (offer(VIDEO, session="a=group:BUNDLE 7 0"), "v", "0"),
    "two groups": (offer(AUDIO, VIDEO, session="a=group:BUNDLE 1\na=group:BUNDLE 0"), "0v", "0"),
    "no names": (offer(*(without(one, "a=mid") for one in (VIDEO, AUDIO)), session="a=x"), "v0", ""),
    "transport in the session": (
        offer(BARE, session=f"{GROUP}\n{ICE}\n{FINGERPRINT}\na=setup:active"),
        "v",
        "0",
    ),
    "direction in the session": (
        offer(without(VIDEO, "a=recvonly"), session=f"{GROUP}\na=recvonly"),
        "v",
        "0",
    ),
    "no direction": (offer(without(VIDEO, "a=recvonly")), "v", "0"),
    "both directions": (
        offer(VIDEO.replace("recvonly", "sendrecv") + "\na=msid:a b\na=ssrc:1 cname:x"),
        "v",
        "0",
    ),
    "no setup": (offer(without(VIDEO, "a=setup")), "v", "0"),
    "line feeds alone": (offer(VIDEO, DATA).replace("\r\n", "\n"), "v0", "0"),
    "spaces at the ends": (offer(VIDEO, DATA).replace("\r\n", " \t\r\n"), "v0", "0"),
    "blank lines": (offer(VIDEO, DATA).replace("\r\n", "\r\n\r\n") + "\n \n", "v0", "0"),
    "no end of the last line": (offer(VIDEO).rstrip(), "v", "0"),
    "more spaces between words": (offer(VIDEO).replace("m=video 9 ", "m=video  9  "), "v", "0"),
    "a number of ports": (offer(VIDEO.replace("m=video 9 ", "m=video 9/2 ")), "v", "0"),
    "lines of every letter": (
        offer(
            VIDEO, session=f"i=a\tb\nu=http://a/\ne=a\np=+1\nc=IN IP6 ::1\nb=AS:9\nz=0 0\nk=prompt\n{GROUP}"
        ),
        "v",
        "0",
    ),
    "connections of other forms": (
        offer(VIDEO.replace("IN IP4 0.0.0.0", "IN IP4 224.2.1.1/127/3")),
        "v",
        "0",
    ),
    "an empty candidate": (offer(VIDEO + "\na=candidate:\na=candidate"), "v", "0"),
    "malformed candidates": (
        offer(
            VIDEO + "\na=candidate:1 1 udp x 127.0.0.1 9 typ host\na=candidate:1 1 udp 1 127.0.0.1 0 typ host"
        ),
        "v",
        "0",
    ),
    "candidates by TCP, of IPv6 and by names": (
        offer(
            VIDEO + "\na=candidate:2 1 tcp 1 127.0.0.1 9 typ host tcptype active"
            "\na=candidate:3 1 UDP 1 fe80::1%eth0 4000 typ host generation 0 network-id 1"
            "\na=candidate:4 1 udp 1 0c6b1f0e-b1a9-4f6b-9c0a-2e1f2f3a4b5c.local 4001 typ host"
            "\na=candidate:5 2 udp 1 127.0.0.1 4002 typ srflx raddr 0.0.0.0 rport x"
        ),
        "v",
        "0",
    ),
    "forty candidates": (
        offer(VIDEO + "".join(f"\na=candidate:{n} 1 udp 1 127.0.0.1 {4000 + n} typ host" for n in range(40))),
        "v",
        "0",
    ),
    "attributes with nothing in them": (
        offer(VIDEO + "\na=fmtp:\na=rtpmap:\na=rtcp-fb:\na=extmap:\na=msid:\na=ssrc:\na=\na=rtcp:"),
        "v",
        "0",
    ),
    "attributes that are not numbers": (
        offer(
            VIDEO + "\na=fmtp:x y\na=rtpmap:x H264/90000\na=extmap:x y\na=fmtp:102\na=rtcp:x\na=rtcp-fb:102"
        ),
        "v",
        "0",
    ),
    "simulcast": (
        offer(VIDEO + "\na=rid:h recv pt=102\na=rid:l recv\na=simulcast:recv h;l\na=imageattr:102 recv *"),
        "v",
        "0",
    ),
    "extensions of every form": (
        offer(
            VIDEO + "\na=extmap-allow-mixed\na=extmap:1/recvonly urn:ietf:params:rtp-hdrext:sdes:mid"
            "\na=extmap:200 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
            "\na=extmap:3 urn:ietf:params:rtp-hdrext:encrypt urn:x one two"
        ),
        "v",
        "0",
    ),
    "parameters with spaces and capitals": (
        offer(VIDEO.replace("packetization-mode=1;", "Packetization-Mode=1; ").replace("42e01f", "42E01F; ")),
        "v",
        "0",
    ),
    "no parameters, as whepsrc": (offer(without(VIDEO, "a=fmtp")), "v", "0"),
    "a level that is not known": (offer(VIDEO.replace("42e01f", "42e03e")), "v", "0"),
    "the name of the codec in small letters": (offer(VIDEO.replace("H264", "h264")), "v", "0"),
    "the name of the digest in capitals": (offer(VIDEO.replace("sha-256", "SHA-256")), "v", "0"),
    "two digests": (offer(VIDEO + "\na=fingerprint:sha-1 AB:CD\na=fingerprint:md5"), "v", "0"),
    "the profile of old names": (offer(VIDEO.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")), "v", "0"),
    "a long name": (
        offer(VIDEO.replace("mid:0", f"mid:{'v' * 40}"), session=f"a=group:BUNDLE {'v' * 40}"),
        "v",
        "v" * 40,
    ),
}


def described(answer: str) -> tuple[list[tuple[str, str, str]], str, str]:
    """Kind, protocol and name of each media; how it is answered, by a letter each; the group."""
    session, *media = sections(answer)
    how = "".join(
        "0" if part.rejected else "v" if part.has("sendonly") else "i" if part.has("inactive") else "?"
        for part in media
    )
    groups = [value.removeprefix("BUNDLE ") for value in session.values("group")]
    assert len(groups) <= 1
    return [(part.kind, part.protocol, part.mid) for part in media], how, "".join(groups)


@pytest.mark.parametrize("shape", SHAPES)
async def test_it_is_answered(shape: str) -> None:
    text, how, group = SHAPES[shape]
    async with rig() as r:
        code, _, answer = await r.post(text)
    assert code == 201, answer
    media, answered, grouped = described(answer)
    assert (answered, grouped) == (how, group)
    assert media == [(part.kind, part.protocol, part.mid) for part in sections(text)[1:]]
    (video,) = [part for part in sections(answer)[1:] if part.has("sendonly")]
    assert set(video.formats) == {"102"}
    assert video.values("rtpmap") == ["102 H264/90000"]
    assert "packetization-mode=1" in video.values("fmtp")[0]
    for part in sections(answer)[1:]:
        assert part.rejected or part.values("ice-ufrag") == video.values("ice-ufrag")
        assert set(part.formats) <= set(
            sections(text)[1:][media.index((part.kind, part.protocol, part.mid))].formats
        )


def lines(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "\r\n".join(change(line) for line in text.split("\r\n"))


PLAYED: Mapping[str, Callable[[str], str]] = {
    "line feeds alone": lambda text: text.replace("\r\n", "\n"),
    "spaces at the ends": lines(lambda line: line + "  "),
    "no group": lines(lambda line: "" if line.startswith("a=group") else line),
    "no setup": lines(lambda line: "" if line.startswith("a=setup") else line),
    "no direction": lines(lambda line: "" if line == "a=recvonly" else line),
    "bad candidates": lambda text: text + "a=candidate:\r\na=candidate:x\r\n",
    "no parameters": lines(lambda line: "" if line.startswith(("a=fmtp:97", "a=fmtp:99")) else line),
    "a lite agent's flag": lambda text: text.replace("m=video", "a=ice-lite\r\nm=video", 1),
}


@pytest.mark.parametrize("change", PLAYED)
async def test_it_is_played(change: str) -> None:
    async with rig(camera=True) as r, viewer() as v:
        code, _, answer = await r.post(PLAYED[change](await v.offer()))
        assert code == 201, answer
        await v.take(answer)
        assert (await v.frame()).width == 1280


def test_the_first_of_a_bundle_tells_the_transport() -> None:
    audio = AUDIO.replace("abcd\n", "first\n") + "\na=candidate:1 1 udp 1 127.0.0.1 4711 typ host"
    read = read_offer(offer(audio, VIDEO, session="a=group:BUNDLE 1 0"))
    assert read.ufrag == "first"
    assert "4711" in read.text
    assert "40001" not in read.text
    assert read_offer(offer(audio, VIDEO, session="a=x")).ufrag == "abcd"


def test_candidates_are_bounded_and_those_of_no_use_do_not_count() -> None:
    useless = "".join(f"\na=candidate:t{n} 1 tcp 1 127.0.0.1 9 typ host" for n in range(50))
    many = "".join(f"\na=candidate:{n} 1 udp 1 127.0.0.1 {4000 + n} typ host" for n in range(50))
    read = read_offer(offer(VIDEO + useless + many))
    assert read.candidates == MAX_CANDIDATES
    assert len(candidates(read.text)) == MAX_CANDIDATES
    assert " tcp " not in read.text


def test_a_high_profile_is_not_taken_for_baseline() -> None:
    high = "a=rtpmap:97 H264/90000\na=fmtp:97 packetization-mode=1;profile-level-id=640c1f"
    _, video = sections(offer(f"{VIDEO}\n{high}".replace("96 102", "97 102")))
    assert [one.payload for one in sendable(video)] == ["102"]


def test_an_offer_without_a_name_gets_none_by_the_wire() -> None:
    read = read_offer(
        offer(without(VIDEO, "a=mid") + "\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid", session="a=x")
    )
    assert "sdes:mid" not in read.text
    assert "a=mid" not in write_answer(read, "v=0\r\na=group:BUNDLE 0\r\nm=video 9 X 102\r\na=mid:0\r\n")


async def test_a_fragment_of_many_media_is_taken_for_the_one_that_counts() -> None:
    async with rig() as r, viewer() as v:
        text = await v.offer()
        _, headers, _ = await r.post(strip_candidates(text))
        found = re.search("a=ice-ufrag:(.*)", text)
        assert found is not None
        fragment = (
            f"m=video 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=ice-ufrag:{found[1].strip()}\n{candidates(text)[0]}\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:1\na=ice-ufrag:other\n"
            "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\n"
        )
        kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
        async with r.http.patch(r.url + headers["Location"], data=fragment, headers=kind) as answer:
            assert answer.status == 204
    assert len(read_fragment(fragment).of("other")) == 1
    assert read_fragment(fragment).of(found[1].strip()) == [candidates(text)[0].partition(":")[2]]


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")]
)
async def test_the_viewer_begins_the_dtls_handshake_where_it_may(offered: str, answered: str) -> None:
    async with rig() as r:
        status, _, answer = await r.post(offer(VIDEO.replace("a=setup:actpass", f"a=setup:{offered}")))
        assert status == 201, answer
        assert re.findall("a=setup:(.*)\r\n", answer) == [answered]
