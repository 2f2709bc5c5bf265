"""The fan-out: only redacted packets, keyframe first, bounded rings, merged keyframe requests."""

import asyncio
import time
from typing import Any, cast

import pytest

from firmware.core.frames import Redacted
from firmware.fanout import RING, Fanout, KeyframeRequests, SubscriptionClosed
from tests.fanout.packets import packet, raw_packet, silent_fanout


async def test_raw_packet_is_refused_with_and_without_viewers() -> None:
    fanout = silent_fanout()
    with pytest.raises(TypeError, match="not Redacted"):
        fanout.publish(cast("Any", raw_packet(1)))
    viewer = fanout.subscribe()
    with pytest.raises(TypeError, match="not Redacted"):
        fanout.publish(cast("Any", raw_packet(2)))
    with pytest.raises(TypeError, match="not Redacted"):
        viewer.offer(cast("Any", raw_packet(3)))
    assert fanout.counters.published == 0
    fanout.close()


async def test_viewer_starts_at_a_keyframe_and_asks_for_it() -> None:
    asked: list[float] = []
    fanout = Fanout(Redacted, lambda: asked.append(time.monotonic()))
    viewer = fanout.subscribe()
    assert len(asked) == 1
    fanout.publish(packet(1))
    fanout.publish(packet(2, keyframe=True))
    fanout.publish(packet(3))
    assert [(await viewer.next()).seq for _ in range(2)] == [2, 3]
    assert fanout.counters.dropped == 0
    fanout.close()


async def test_slow_viewer_drops_to_the_next_keyframe_and_is_counted() -> None:
    fanout = Fanout(Redacted, lambda: None, ring=4)
    slow, quick = fanout.subscribe(), fanout.subscribe()
    for seq in range(10):
        fanout.publish(packet(seq, keyframe=seq == 0))
        assert (await quick.next()).seq == seq
    assert slow.dropped == 10
    assert quick.dropped == 0
    fanout.publish(packet(10, keyframe=True))
    fanout.publish(packet(11))
    assert [(await slow.next()).seq for _ in range(2)] == [10, 11]
    slow.close()
    assert fanout.counters.dropped == 10, "a viewer's drops stay counted when it leaves"
    fanout.close()


async def test_ring_is_bounded_even_when_every_packet_is_a_keyframe() -> None:
    fanout = silent_fanout()
    viewer = fanout.subscribe()
    for seq in range(10 * RING):
        fanout.publish(packet(seq, keyframe=True))
        assert len(viewer._ring) <= RING
    fanout.close()


async def test_close_wakes_a_waiting_viewer() -> None:
    fanout = silent_fanout()
    viewer = fanout.subscribe()
    asyncio.get_running_loop().call_later(0.05, fanout.close)
    with pytest.raises(SubscriptionClosed):
        await asyncio.wait_for(viewer.next(), 2)
    assert fanout.counters.subscribers == 0


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
