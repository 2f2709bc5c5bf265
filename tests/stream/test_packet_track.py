"""The track: packets as they are, with the times that RTP wants."""

import asyncio

import pytest
from aiortc.mediastreams import MediaStreamError

from firmware.stream.feed import RedactedFeed
from firmware.stream.packet_track import PacketTrack
from tests.fanout.packets import packet, silent_fanout


async def test_track_gives_annex_b_with_90_khz_times() -> None:
    fanout = silent_fanout()
    track = PacketTrack(RedactedFeed(fanout, "anybody", bool))
    assert fanout.counters.subscribers == 0, "a track joins when it is read"
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    fanout.publish(packet(30, keyframe=True))
    out = await asyncio.wait_for(waiting, 2)
    assert bytes(out).startswith(b"\0\0\0\1")
    assert out.pts == 30 * 33_333_333 * 90_000 // 1_000_000_000
    assert (out.time_base.numerator, out.time_base.denominator) == (1, 90_000)
    track.stop()
    assert fanout.counters.subscribers == 0
    with pytest.raises(MediaStreamError):
        await track.recv()
    fanout.close()
