"""What hangs on the flow: a recorder beside a viewer, and a raw rendition that is there for a while."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from firmware.bench.pipeline import resident_mib
from firmware.config.drivers import X264Options
from firmware.core.frames import Raw, Redacted, Verdict
from firmware.core.grant import Grant
from firmware.drivers.encoder_x264 import open_encoder
from firmware.fanout import Fanout, Subscription, SubscriptionClosed
from firmware.pipeline.raw import RawRendition
from firmware.ports import Encoder
from tests.pipeline.doubles import CLEAR, HEIGHT, WIDTH, KeepingEncoder, NumberedCamera, ToldDetector
from tests.pipeline.rig import Rig

FPS = 30.0
GROWTH_MIB = 16


async def record(subscription: Subscription[Redacted], kept: list[int]) -> None:
    """Take every packet, as a recorder does."""
    try:
        while True:
            kept.append((await subscription.next()).seq)
    except SubscriptionClosed:
        return


async def test_a_recorder_beside_a_viewer_who_never_reads_loses_nothing() -> None:
    rig = Rig(ToldDetector(), NumberedCamera(fps=FPS))
    fanout = Fanout(Redacted, rig.rendition.want_keyframe)
    recorder, idle, kept = fanout.subscribe(), fanout.subscribe(), list[int]()
    published = 0
    async with rig.running(), asyncio.TaskGroup() as tasks:
        tasks.create_task(record(recorder, kept))
        while fanout.counters.published < 100:
            await asyncio.sleep(0.01)
            for told in rig.told[published:]:
                fanout.publish(told.packet)
            published = len(rig.told)
        await asyncio.sleep(0)
        recorder.close()
    seqs = [told.packet.seq for told in rig.told[:published]]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no gap in what was released"
    assert kept == seqs
    assert recorder.dropped == 0
    assert idle.dropped > 0
    fanout.close()


class Switch:
    """Grants, as a test turns them on and off."""

    def __init__(self) -> None:
        self._on, self._off = asyncio.Event(), asyncio.Event()
        self._off.set()

    def turn(self, *, on: bool) -> None:
        (self._on if on else self._off).set()
        (self._off if on else self._on).clear()

    async def some(self) -> None:
        await self._on.wait()

    async def none(self) -> None:
        await self._off.wait()


GRANT = Grant("id", "ada", "session", "a test", None)


@pytest.mark.timeout(240)
async def test_a_raw_rendition_comes_and_goes_a_hundred_times_and_nobody_notices() -> None:
    rig, switch = Rig(ToldDetector(), NumberedCamera(fps=FPS)), Switch()
    opened, closed, taken = list[float](), list[float](), list[int]()
    memory, threads = list[float](), list[int]()

    @asynccontextmanager
    async def opens() -> AsyncIterator[Encoder]:
        async with open_encoder(X264Options(driver="x264"), WIDTH, HEIGHT, FPS) as encoder:
            opened.append(time.monotonic())
            yield encoder
        closed.append(time.monotonic())

    raw = RawRendition(rig.flow, opens, switch)
    async with rig.running(), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(raw.run())
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
        assert (opened, raw.fanout.counters.published, raw.is_open) == ([], 0, False)
        for turn in range(100):
            switch.turn(on=True)
            watching = raw.fanout.subscribe_by(GRANT)
            packet = await watching.next()
            assert (packet.label, packet.keyframe) == (Raw, True)
            taken.append(packet.seq)
            watching.close()
            ended = time.monotonic()
            switch.turn(on=False)
            await rig.until(lambda count=turn + 1: len(closed) == count)  # type: ignore[misc]
            assert closed[-1] - ended < 3
            assert not raw.is_open
            if turn >= 20:
                memory.append(await asyncio.to_thread(resident_mib))
                threads.append(threading.active_count())
            if turn % 20 == 0:
                gc.collect()
        late = raw.fanout.counters.published
        await asyncio.sleep(0.2)
        assert raw.fanout.counters.published == late, "closed means closed"
        running.cancel()
    raw.fanout.close()
    seqs = [told.packet.seq for told in rig.told]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "the redacted stream has no gap"
    assert len(set(taken)) == 100
    assert len(opened) == 100
    assert max(memory) - memory[0] < GROWTH_MIB
    assert max(threads) <= threads[0] + 1
    assert rig.clear_frames() == []
    assert rig.camera.leased <= 1, "the one that was being captured"


async def test_the_raw_picture_is_as_the_camera_saw_it() -> None:
    rig, switch, keeps = Rig(ToldDetector(), NumberedCamera(fps=FPS)), Switch(), KeepingEncoder()

    @asynccontextmanager
    async def opens() -> AsyncIterator[Encoder]:
        yield keeps

    raw = RawRendition(rig.flow, opens, switch)
    switch.turn(on=True)
    async with rig.running(), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(raw.run())
        await rig.until(lambda: len(keeps.pictures) > 5)
        running.cancel()
    assert all(i420[0, 0] == CLEAR for _, i420 in keeps.pictures)
    raw.fanout.close()
