"""The real pipeline (scene, models, x264) with a detector that is made to fail or stall.

Packets are decoded as a viewer's player would, and every decoded picture is held against the truth.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import av
import numpy as np
import pytest

from firmware.binding import BoundDetectors, bind_camera, bind_detectors, bind_encoder
from firmware.config.model import ModelCache, default_cache, load_chains, load_manifests
from firmware.config.portrait import portrait
from firmware.config.profile import LookProfile, find_profile
from firmware.core.frames import Detection, Packet, Redacted, Released, Verdict
from firmware.core.policy import PEOPLE
from firmware.core.raw import DetectorPicture
from firmware.pipeline.detect import FAILED, Detect, LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.flow import Flow
from firmware.pipeline.known import PLACES, KnownFace
from firmware.ports import Detector, OpensDetector, SystemClock
from tests.e2e.camera import Judged, judge

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]


LOOK = LookOptions(rate_hz=10, deadline_s=2.0, stall_limit_s=60, restarts=1000, backoff_s=0.05)


class Sabotaged:
    """Passes looks on to a real detector until told otherwise."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        self.dead = False
        """Whether every answer is that nobody is there."""

    def wrap(self, opens: OpensDetector) -> OpensDetector:
        outer = self

        class Wrapped:
            def __init__(self, inner: Detector) -> None:
                self._inner = inner
                self.name = inner.name
                self.sight = inner.sight

            def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
                outer.before()
                found = self._inner.detect(picture)
                return [] if outer.dead else found

        @asynccontextmanager
        async def opener() -> AsyncIterator[Detector]:
            async with opens() as inner:
                yield Wrapped(inner)

        return opener


class Viewer:
    """Decodes packets as they are released."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.judged: list[Judged] = []
        self._packets: list[Packet[Redacted]] = []
        self._decoder = av.CodecContext.create("h264", "r")

    def __call__(self, told: Released) -> None:
        self.verdicts.append(told.judgement.verdict)
        self._packets.append(told.packet)

    def decode(self) -> list[Judged]:
        """Decode and judge what came so far."""
        assert isinstance(self._decoder, av.VideoCodecContext)
        for packet in self._packets[len(self.judged) :]:
            (frame,) = self._decoder.decode(av.Packet(packet.data))
            bgr = frame.reformat(format="bgr24", src_colorspace="ITU709").to_ndarray()
            self.judged.append(judge(np.asarray(bgr, np.uint8)))
        return self.judged


def all_chains(cache: ModelCache) -> list[str]:
    # The Coral's chain needs its TPU.
    here = [chain for chain in load_chains() if chain.name != "coral"]
    return [chain.name for chain in here if cache.complete(chain, load_manifests())]


def bound(cache: ModelCache, chain: str = "auto") -> BoundDetectors:
    return bind_detectors(find_profile("laptop").detectors, LookProfile(chain=chain), cache)


@asynccontextmanager
async def running(
    detectors: BoundDetectors, sabotaged: Sabotaged, viewer: Viewer, look: LookOptions = LOOK
) -> AsyncIterator[Flow]:
    profile = await asyncio.to_thread(find_profile, "laptop")
    known = KnownFace(await asyncio.to_thread(portrait, ModelCache(default_cache())))
    clock = SystemClock()
    async with AsyncExitStack() as parts:
        scene = await parts.enter_async_context(bind_camera(profile.camera)())
        info = scene.info
        encoder = await parts.enter_async_context(
            bind_encoder(profile.encoder)(info.width, info.height, info.fps)
        )
        detects = [
            Detect(one.model, one.finds, sabotaged.wrap(one.opens), known.require, look, clock)
            for one in detectors.detectors
        ]
        flow = Flow(scene, detects, [RedactedRendition(encoder)], viewer, PEOPLE, clock)
        tasks = await parts.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(flow.run())
        yield flow
        running.cancel()


async def until(met: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.01)


def fail() -> None:
    raise RuntimeError("made to fail")


@pytest.mark.parametrize("how", ["exception", "stall"])
async def test_dead_detector_hides_the_whole_picture_and_it_comes_back(
    model_cache: ModelCache, how: str
) -> None:
    sabotaged, viewer, go_on = Sabotaged(), Viewer(), threading.Event()
    detectors = await asyncio.to_thread(bound, model_cache)
    async with running(detectors, sabotaged, viewer) as flow:
        await until(lambda: viewer.verdicts.count(Verdict.VERIFIED) > 5)
        sabotaged.before = fail if how == "exception" else lambda: go_on.wait(50) and None
        await until(lambda: bool(flow.report().reason))
        lost_at = len(viewer.verdicts)
        await until(lambda: len(viewer.verdicts) > lost_at + 30)
        blind_until = len(viewer.verdicts)
        sabotaged.before = lambda: None
        go_on.set()
        await until(lambda: viewer.verdicts[-1] is Verdict.VERIFIED)
        back_at = len(viewer.verdicts)
        await until(lambda: len(viewer.verdicts) > back_at + 15)
        judged = await asyncio.to_thread(viewer.decode)
    # At most the one frame that was being masked when the detector died.
    assert set(viewer.verdicts[lost_at + 1 : blind_until]) == {Verdict.BLIND}
    assert all(j.blind for j in judged[lost_at + 1 : blind_until])
    assert [j for j in judged if j.showing] == []
    assert any(j.number is not None for j in judged[back_at:]), "the picture is back"


async def test_detector_that_sees_nobody_any_more_is_found_out(model_cache: ModelCache) -> None:
    sabotaged, viewer = Sabotaged(), Viewer()
    detectors = await asyncio.to_thread(bound, model_cache)
    sabotaged.dead = True
    async with running(detectors, sabotaged, viewer, replace(LOOK, proof_every_s=0.5)) as flow:
        await until(lambda: len(viewer.verdicts) > 60)
        assert set(viewer.verdicts) == {Verdict.BLIND}, "dead from the beginning"
        sabotaged.dead = False
        await until(lambda: viewer.verdicts.count(Verdict.VERIFIED) > 5)
        sabotaged.dead = True
        await until(lambda: flow.report().reason == FAILED)
        lost_at = len(viewer.verdicts)
        await until(lambda: len(viewer.verdicts) > lost_at + 30)
    assert set(viewer.verdicts[lost_at + 1 : lost_at + 30]) == {Verdict.BLIND}


async def test_every_live_model_of_every_chain_finds_the_known_face(model_cache: ModelCache) -> None:
    known = KnownFace(await asyncio.to_thread(portrait, model_cache))
    proven = 0
    for chain in await asyncio.to_thread(all_chains, model_cache):
        detectors = await asyncio.to_thread(bound, model_cache, chain)
        for one in detectors.detectors:
            async with one.opens() as detector:
                for _ in PLACES:
                    await asyncio.to_thread(known.require, detector, one.finds)
                proven += 1
    assert proven >= 2


async def test_no_face_shows_with_any_chain(model_cache: ModelCache) -> None:
    chains = await asyncio.to_thread(all_chains, model_cache)
    assert chains, "set-up brings at least one chain"
    for chain in chains:
        viewer = Viewer()
        detectors = await asyncio.to_thread(bound, model_cache, chain)
        async with running(detectors, Sabotaged(), viewer):
            await until(lambda viewer=viewer: len(viewer.verdicts) > 150, 120)
            judged = await asyncio.to_thread(viewer.decode)
        assert [j for j in judged if j.showing] == [], chain
        told = zip(judged, viewer.verdicts, strict=False)
        assert all(j.blind for j, verdict in told if verdict is Verdict.BLIND), chain
        assert sum(j.number is not None for j in judged) > 100, chain
        assert detectors.chain == chain
