"""What hangs on the flow: a recorder beside a viewer, and a raw rendition that is there for a while."""

import asyncio
import gc
import threading

import pytest

from firmware.bench.pipeline import resident_mib
from firmware.config.drivers import X264Options
from firmware.core.frames import Packet, Raw, Redacted, Verdict
from firmware.drivers.encoder_x264 import open_encoder
from firmware.fanout import Fanout, Subscription, SubscriptionClosed
from firmware.pipeline.flow import Flow
from firmware.pipeline.worker import Worker
from firmware.ports import Encoder
from tests.pipeline.doubles import CLEAR, HEIGHT, WIDTH, NumberedCamera, ToldDetector
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


class ScratchRaw:
    """A raw rendition as grants will have one: it takes frames only while it is open."""

    def __init__(self, flow: Flow, fanout: Fanout[Raw]) -> None:
        self._flow = flow
        self._fanout = fanout

    async def run(self, encoder: Encoder) -> None:
        """Encode what comes until cancelled."""
        with self._flow.outlet("raw") as frames:
            async with Worker("scratch-raw") as worker:
                while True:
                    frame = await frames.take()
                    assert frame.planes.y[0, 0] == CLEAR
                    working = worker.start(
                        lambda frame=frame: encoder.encode(frame.planes, frame.captured_ns, keyframe=True)
                    )
                    working.add_done_callback(lambda _, frame=frame: frame.release())
                    picture = await working
                    if picture is not None:
                        self._fanout.publish(Packet(picture.data, True, frame.captured_ns, frame.seq, Raw))


@pytest.mark.timeout(240)
async def test_a_raw_rendition_comes_and_goes_a_hundred_times_and_nobody_notices() -> None:
    rig = Rig(ToldDetector(), NumberedCamera(fps=FPS))
    raw = Fanout(Raw, lambda: None)
    taken, memory, threads = list[int](), list[float](), list[int]()
    async with rig.running():
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
        for turn in range(100):
            before = raw.counters.published
            async with (
                open_encoder(X264Options(driver="x264"), WIDTH, HEIGHT, FPS) as encoder,
                asyncio.TaskGroup() as tasks,
            ):
                watching = raw._join()
                running = tasks.create_task(ScratchRaw(rig.flow, raw).run(encoder))
                taken.append((await watching.next()).seq)
                running.cancel()
            watching.close()
            assert raw.counters.published > before
            if turn >= 20:
                memory.append(await asyncio.to_thread(resident_mib))
                threads.append(threading.active_count())
            if turn % 20 == 0:
                gc.collect()
        late = raw.counters.published
        await asyncio.sleep(0.2)
        assert raw.counters.published == late, "closed means closed"
    seqs = [told.packet.seq for told in rig.told]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "the redacted stream has no gap"
    assert len(set(taken)) == 100
    assert max(memory) - memory[0] < GROWTH_MIB
    assert max(threads) <= threads[0] + 1
    assert rig.clear_frames() == []
    assert rig.camera.leased <= 1, "the one that was being captured"
