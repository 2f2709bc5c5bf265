"""The fan-out: only redacted packets, keyframe first, bounded rings, merged keyframe requests."""

import asyncio
import time
from typing import Any, cast

import pytest
from aiortc.mediastreams import MediaStreamError

from firmware.stream.hub import RING, KeyframeRequests, RedactedHub, SubscriptionClosed
from firmware.stream.track import PacketTrack
from tests.stream.rig import packet, raw_packet


async def test_raw_packet_is_refused_with_and_without_viewers() -> None:
    hub = RedactedHub()
    with pytest.raises(TypeError, match="not redacted"):
        hub.publish(cast("Any", raw_packet(1)))
    viewer = hub.subscribe()
    with pytest.raises(TypeError, match="not redacted"):
        hub.publish(cast("Any", raw_packet(2)))
    with pytest.raises(TypeError, match="not redacted"):
        viewer.offer(cast("Any", raw_packet(3)))
    assert hub.counters.published == 0
    hub.close()


async def test_viewer_starts_at_a_keyframe_and_asks_for_it() -> None:
    asked: list[float] = []
    hub = RedactedHub(lambda: asked.append(time.monotonic()))
    viewer = hub.subscribe()
    assert len(asked) == 1
    hub.publish(packet(1))
    hub.publish(packet(2, keyframe=True))
    hub.publish(packet(3))
    assert [(await viewer.next()).seq for _ in range(2)] == [2, 3]
    assert hub.counters.dropped == 0
    hub.close()


async def test_slow_viewer_drops_to_the_next_keyframe_and_is_counted() -> None:
    hub = RedactedHub(ring=4)
    slow, quick = hub.subscribe(), hub.subscribe()
    for seq in range(10):
        hub.publish(packet(seq, keyframe=seq == 0))
        assert (await quick.next()).seq == seq
    assert slow.dropped == 10
    assert quick.dropped == 0
    hub.publish(packet(10, keyframe=True))
    hub.publish(packet(11))
    assert [(await slow.next()).seq for _ in range(2)] == [10, 11]
    slow.close()
    assert hub.counters.dropped == 10, "a viewer's drops stay counted when it leaves"
    hub.close()


async def test_ring_is_bounded_even_when_every_packet_is_a_keyframe() -> None:
    hub = RedactedHub()
    viewer = hub.subscribe()
    for seq in range(10 * RING):
        hub.publish(packet(seq, keyframe=True))
        assert len(viewer._ring) <= RING
    hub.close()


async def test_close_wakes_a_waiting_viewer() -> None:
    hub = RedactedHub()
    viewer = hub.subscribe()
    asyncio.get_running_loop().call_later(0.05, hub.close)
    with pytest.raises(SubscriptionClosed):
        await asyncio.wait_for(viewer.next(), 2)
    assert hub.counters.viewers == 0


async def test_keyframe_requests_are_merged_with_a_trailing_one() -> None:
    asked: list[float] = []
    requests = KeyframeRequests(lambda: asked.append(time.monotonic()), 0.2)
    for _ in range(20):
        requests.want()
        await asyncio.sleep(0.005)
    last = time.monotonic()
    await asyncio.sleep(0.4)
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 0.19
    assert asked[1] >= last - 0.2
    assert asked[1] > asked[0]
    requests.want()
    assert len(asked) == 3, "after the interval a request is passed on at once"
    requests.want()
    requests.close()
    await asyncio.sleep(0.3)
    assert len(asked) == 3, "a closed one asks no more"


async def test_track_gives_annex_b_with_90_khz_times() -> None:
    hub = RedactedHub()
    track = PacketTrack(hub)
    assert hub.counters.viewers == 0, "a track joins when it is read"
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    hub.publish(packet(30, keyframe=True))
    out = await asyncio.wait_for(waiting, 2)
    assert bytes(out).startswith(b"\0\0\0\1")
    assert out.pts == 30 * 33_333_333 * 90_000 // 1_000_000_000
    assert (out.time_base.numerator, out.time_base.denominator) == (1, 90_000)
    track.stop()
    assert hub.counters.viewers == 0
    with pytest.raises(MediaStreamError):
        await track.recv()
    hub.close()
