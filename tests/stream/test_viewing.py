"""A plain aiortc viewer: media flows, keyframes come when asked, what is dead goes."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from aioice import Candidate

from firmware.core.frames import Redacted
from firmware.stream.feed import RedactedFeed
from firmware.stream.ice import IcePlan, IcePolicy, Reach
from firmware.stream.session import Session
from firmware.stream.viewers import Viewers
from tests.fanout.packets import silent_fanout
from tests.stream.peer import candidates, strip_candidates, viewer
from tests.stream.rig import HEIGHT, MASK, MASK_RGB, WIDTH, options_of, rig, until


async def test_zero_candidates_then_trickle_then_delete() -> None:
    async with rig(camera=True) as r, viewer() as v:
        offer = await v.offer()
        code, headers, answer = await r.post(strip_candidates(offer))
        assert code == 201
        await v.take(answer)
        body = "a=mid:0\r\n" + "\r\n".join(candidates(offer)) + "\r\na=end-of-candidates\r\n"
        kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
        async with r.http.patch(r.url + headers["Location"], data=body, headers=kind) as patched:
            assert patched.status == 204
        frame = await v.frame()
        assert (frame.width, frame.height) == (WIDTH, HEIGHT)
        async with r.http.delete(r.url + headers["Location"]) as ended:
            assert ended.status == 200
        await until(lambda: r.fanout.counters.subscribers == 0)
        await until(lambda: v.peer.connectionState in ("failed", "closed"))


async def test_picture_arrives_whole_without_any_candidate_of_the_viewer() -> None:
    """The viewer's own checks are enough (peer-reflexive), as behind mDNS names."""
    async with rig(camera=True) as r, viewer() as v:
        _, _, answer = await r.post(strip_candidates(await v.offer()))
        await v.take(answer)
        times = []
        for _ in range(30):
            frame = await v.frame()
            times.append(time.monotonic())
        x, y, w, h = MASK
        rgb = frame.reformat(format="rgb24", src_colorspace=1).to_ndarray()
        inside = rgb[y + 10 : y + h - 10, x + 10 : x + w - 10].reshape(-1, 3)
        assert np.abs(inside.mean(0) - MASK_RGB).max() < 8
        assert (inside.max(0) - inside.min(0)).max() < 8
        assert rgb[500:700].std() > 30
        assert times[-1] - times[0] < 3, "30 pictures come in about a second"


async def test_pli_reaches_the_encoder() -> None:
    async with rig(camera=True) as r, viewer() as v:
        _, _, answer = await r.post(await v.offer())
        await v.take(answer)
        await v.frame()
        await asyncio.sleep(1.2)
        before = len(r.asked)
        await v.ask_keyframe()
        await until(lambda: len(r.asked) > before, 3)
        for _ in range(10):
            await v.ask_keyframe()
        await asyncio.sleep(0.3)
        assert len(r.asked) - before <= 2, "viewers together get at most one per half second"


async def test_late_joiner_sees_a_picture_quickly() -> None:
    async with rig(camera=True) as r, viewer() as first, viewer() as late:
        _, _, answer = await r.post(await first.offer())
        await first.take(answer)
        await first.frame()
        await asyncio.sleep(1.5)
        offer = await late.offer()
        started = time.monotonic()
        _, _, answer = await r.post(offer)
        await late.take(answer)
        await late.frame()
        assert time.monotonic() - started < 2.0, "not the ten seconds of a group of pictures"
        assert r.fanout.counters.subscribers == 2


async def test_audio_is_answered_inactive_in_either_order() -> None:
    for kinds in (("audio", "video"), ("video", "audio")):
        async with rig(camera=True) as r, viewer(*kinds) as v:
            code, _, answer = await r.post(await v.offer())
            assert code == 201, answer
            audio = answer[answer.index("m=audio") :].partition("m=video")[0]
            assert "a=inactive" in audio
            assert "a=sendonly" in answer[answer.index("m=video") :]
            await v.take(answer)
            assert (await v.frame()).width == WIDTH


async def test_a_viewer_that_would_send_is_not_heard() -> None:
    async with rig() as r, viewer("audio", "video") as v:
        for transceiver in v.peer.getTransceivers():
            transceiver.direction = "sendrecv"
        code, _, answer = await r.post(await v.offer())
        assert code == 201
        assert "a=recvonly" not in answer
        assert "a=sendrecv" not in answer
        assert answer.count("a=sendonly") == 1


async def test_a_viewer_that_closes_is_reaped() -> None:
    async with rig(camera=True) as r:
        async with viewer() as v:
            _, _, answer = await r.post(await v.offer())
            await v.take(answer)
            await v.frame()
            assert await r.sessions() == 1

        async def gone() -> bool:
            return await r.sessions() == 0

        await until(gone, 5)
        assert r.fanout.counters.subscribers == 0


async def test_remote_addresses_off_loopback_are_refused_in_an_offer() -> None:
    async with rig(camera=True) as r, viewer() as v:
        offer = strip_candidates(await v.offer())
        for host in ("192.0.2.1", "12345678-1234-1234-1234-123456789012.local", "2001:db8::1"):
            offer += f"a=candidate:1 1 udp 2130706431 {host} 9 typ host\r\n"
        offer += "a=end-of-candidates\r\n"
        started = time.monotonic()
        code, _, answer = await r.post(offer)
        assert code == 201
        assert time.monotonic() - started < 2, "a name is not looked up"
        await v.take(answer)
        assert (await v.frame()).width == WIDTH


async def test_session_counts_what_it_refused() -> None:
    fanout = silent_fanout()
    session = Session(RedactedFeed(fanout, "anybody", bool), IcePlan(("127.0.0.1",), loopback_only=True))
    async with viewer() as v:
        offer = await v.offer() + "a=candidate:9 1 udp 1 192.0.2.1 9 typ host\r\n"
        answer = await session.answer(offer)
        assert {line.split()[4] for line in candidates(answer)} == {"127.0.0.1"}
        assert session.refused == 1
        remote: list[Candidate] = _connection(session).remote_candidates
        assert {candidate.host for candidate in remote} == {"127.0.0.1"}
    await session.close()
    fanout.close()


async def test_an_odd_end_of_one_viewer_does_not_end_the_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(session: Session) -> None:
        session._track.stop()
        raise ConnectionError

    async with rig(options_of(listen="127.0.0.1:0", ice_addresses="loopback", connect_within_s=0.1)) as r:
        async with viewer() as v:
            with monkeypatch.context() as patch:
                closes = Session.close
                kept: list[Session] = []
                patch.setattr(Session, "close", lambda session: kept.append(session) or odd(session))
                assert (await r.post(strip_candidates(await v.offer())))[0] == 201
                await until(lambda: kept, 5)
            await closes(kept[0])
            assert (await r.post(strip_candidates(await v.offer())))[0] == 201

        async def none() -> bool:
            return await r.sessions() == 0

        await until(none, 5)


def _connection(session: Session) -> Any:
    return session._peer.getTransceivers()[0].sender.transport.transport.iceGatherer._connection


async def test_a_second_offer_cannot_change_a_session() -> None:
    async with rig() as r, viewer() as v:
        _, headers, answer = await r.post(await v.offer())
        await v.take(answer)
        renewed = await v.offer()
        for method in ("POST", "PUT"):
            async with r.http.request(
                method, r.url + headers["Location"], data=renewed, headers={"Content-Type": "application/sdp"}
            ) as answered:
                assert answered.status == 405
        async with r.http.patch(
            r.url + headers["Location"], data=renewed, headers={"Content-Type": "application/sdp"}
        ) as answered:
            assert answered.status == 415


@pytest.mark.parametrize("setting", ["127.0.0.1", "loopback", "all"])
async def test_every_setting_serves_a_viewer_on_this_machine(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILCAM_ICE_ADDRESSES", setting)
    async with rig(camera=True) as r, viewer() as v:
        _, _, answer = await r.post(await v.offer())
        await v.take(answer)
        assert (await v.frame()).width == WIDTH


async def test_sessions_end_by_their_holder_and_nobody_elses() -> None:
    fanout = silent_fanout()
    viewers: Viewers[Redacted] = Viewers(IcePolicy(Reach.LOOPBACK), most=lambda: 8, connect_within_s=10)
    async with viewer() as one, viewer() as two, viewer() as three:
        for peer, holder in ((one, "first"), (two, "second"), (three, "first")):
            session, answer = await viewers.open(
                await peer.offer(), "127.0.0.1", RedactedFeed(fanout, holder, bool)
            )
            await peer.take(answer)
            assert session.holder == holder
        assert await viewers.end_of("nobody") == 0
        assert await viewers.end_of("first") == 2
        assert len(viewers) == 1
        assert await viewers.end_of("second") == 1
    fanout.close()
