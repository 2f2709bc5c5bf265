"""The whole pipeline over doubles: what fails, stalls or comes late hides the picture."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from firmware.core.frames import Packet, Redacted, Verdict
from firmware.core.policy import PEOPLE
from firmware.core.raw import DetectorPicture
from firmware.errors import DetectorFailed, DetectorStalled, EndOfSource
from firmware.pipeline.detect import FAILED, LATE, LookOptions
from firmware.pipeline.flow import Flow
from firmware.ports import SystemClock
from tests.pipeline.doubles import FACE, KeepingEncoder, NumberedCamera, ToldDetector, all_hidden, shows

LOOK = LookOptions(
    rate_hz=50, deadline_s=0.15, stall_limit_s=5, restarts=1000, backoff_s=0.01, backoff_limit_s=0.05
)


class Rig:
    """One flow over doubles and the packets it released."""

    def __init__(self, detector: ToldDetector, camera: NumberedCamera, look: LookOptions = LOOK) -> None:
        self.camera, self.detector = camera, detector
        self.encoder = KeepingEncoder()
        self.packets: list[Packet[Redacted]] = []
        self.flow = Flow(
            camera,
            [[detector], [ToldDetector()]],
            self.encoder,
            self.packets.append,
            PEOPLE,
            look,
            SystemClock(),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the flow for the length of the block."""
        async with self.flow, asyncio.TaskGroup() as tasks:
            stages = [tasks.create_task(stage) for stage in self.flow.stages()]
            yield
            for stage in stages:
                stage.cancel()

    async def until(self, met: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until something is so; fails after a generous time."""
        async with asyncio.timeout(seconds):
            while not met():
                await asyncio.sleep(0.005)

    def last(self, verdict: Verdict) -> bool:
        """Tell whether the newest packet has this verdict."""
        return bool(self.packets) and self.packets[-1].verdict is verdict

    def clear_frames(self) -> list[int]:
        """Return the capture times of pictures in which the face shows."""
        return [at for at, i420 in self.encoder.pictures if shows(i420, FACE)]


async def test_face_is_hidden_in_every_frame_and_the_rest_is_shown() -> None:
    rig = Rig(ToldDetector(), NumberedCamera())
    async with rig.running():
        await rig.until(lambda: rig.flow.measure.verdicts[Verdict.VERIFIED] > 20)
    assert rig.clear_frames() == []
    assert not all_hidden(rig.encoder.pictures[-1][1])
    assert rig.flow.measure.verdicts[Verdict.PREDICTED] > 0


async def test_first_frames_are_blind_until_a_look_has_come() -> None:
    seen = threading.Event()
    rig = Rig(ToldDetector(lambda picture: seen.wait(5) and None), NumberedCamera())
    async with rig.running():
        await rig.until(lambda: len(rig.packets) > 3)
        assert {packet.verdict for packet in rig.packets[:3]} == {Verdict.BLIND}
        assert all(all_hidden(i420) for _, i420 in rig.encoder.pictures[:3])
        seen.set()
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
    assert rig.clear_frames() == []


def fail(picture: DetectorPicture) -> None:
    raise ValueError("made to fail")


async def test_exception_in_the_detector_hides_everything_until_it_is_back() -> None:
    detector = ToldDetector()
    rig = Rig(detector, NumberedCamera())
    async with rig.running():
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
        failed_at: list[int] = []

        def fail_now(picture: DetectorPicture) -> None:
            failed_at.append(rig.flow.measure.released)
            raise ValueError("made to fail")

        detector.before = fail_now
        await rig.until(lambda: len(failed_at) > 0)
        await rig.until(lambda: rig.flow.witness.reason == FAILED)
        await rig.until(lambda: rig.last(Verdict.BLIND))
        # One frame may have been judged before the failure and one be on its way: not more.
        blind_from = next(
            index
            for index, packet in enumerate(rig.packets)
            if index >= failed_at[0] and packet.verdict is Verdict.BLIND
        )
        assert blind_from - failed_at[0] <= 2
        detector.before = lambda picture: None
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
    assert detector.opened >= 2
    assert rig.clear_frames() == []


async def test_stall_hides_everything_at_the_deadline_and_the_late_answer_is_not_used() -> None:
    detector, go_on = ToldDetector(), threading.Event()
    rig = Rig(detector, NumberedCamera())
    async with rig.running():
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
        detector.before = lambda picture: go_on.wait(10) and None
        await rig.until(lambda: rig.flow.witness.reason == LATE)
        await rig.until(lambda: rig.last(Verdict.BLIND))
        at_stall = len(rig.packets)
        await rig.until(lambda: len(rig.packets) > at_stall + 20)
        assert {packet.verdict for packet in rig.packets[at_stall:]} == {Verdict.BLIND}
        detector.before = lambda picture: None
        go_on.set()
        await rig.until(lambda: rig.last(Verdict.VERIFIED))
    assert rig.clear_frames() == []


async def test_detector_that_never_answers_ends_the_stage() -> None:
    forever = threading.Event()
    look = LookOptions(rate_hz=50, deadline_s=0.05, stall_limit_s=0.1)
    rig = Rig(ToldDetector(lambda picture: forever.wait(3) and None), NumberedCamera(), look)
    with pytest.raises(ExceptionGroup) as caught:
        async with rig.running():
            await asyncio.sleep(10)
    assert caught.group_contains(DetectorStalled)
    forever.set()


async def test_detector_that_keeps_failing_gives_up_after_its_restarts() -> None:
    look = LookOptions(rate_hz=50, restarts=3, backoff_s=0.001, backoff_limit_s=0.002)
    rig = Rig(ToldDetector(fail), NumberedCamera(), look)
    with pytest.raises(ExceptionGroup) as caught:
        async with rig.running():
            await asyncio.sleep(10)
    assert caught.group_contains(DetectorFailed, match="gave up after 3 failures")
    assert rig.detector.opened == 3
    assert all(all_hidden(i420) for _, i420 in rig.encoder.pictures)


async def test_end_of_source_ends_the_flow_and_gives_every_lease_back() -> None:
    camera = NumberedCamera(count=30)
    rig = Rig(ToldDetector(), camera)
    with pytest.raises(ExceptionGroup) as caught:
        async with rig.running():
            await asyncio.sleep(10)
    assert caught.group_contains(EndOfSource)
    await rig.until(lambda: camera.leased == 0)


async def test_leases_stay_bounded_while_the_detector_is_slow() -> None:
    camera = NumberedCamera()
    rig = Rig(ToldDetector(lambda picture: time.sleep(0.1)), camera)
    async with rig.running():
        await rig.until(lambda: len(rig.packets) > 60)
    # Held, one in each mailbox, one looked at, one masked, one just captured.
    assert camera.most_leased <= PEOPLE.hold_limit + 5
    assert rig.flow.detect.frames.dropped > 0


async def test_pixels_are_never_worked_on_by_the_loop() -> None:
    rig = Rig(ToldDetector(), NumberedCamera())
    async with rig.running():
        await rig.until(lambda: len(rig.packets) > 10)
    assert rig.camera.threads == {"veilcam-capture"}
    assert rig.detector.threads == {"veilcam-detect-0"}
    assert rig.encoder.threads == {"veilcam-release"}


async def test_hundred_restarts_never_show_a_clear_frame() -> None:
    for _ in range(100):
        rig = Rig(ToldDetector(), NumberedCamera(fps=1000))
        async with rig.running():
            await rig.until(lambda rig=rig: len(rig.packets) > 2)
        assert rig.clear_frames() == []
        assert (rig.packets[0].verdict is Verdict.BLIND) == all_hidden(rig.encoder.pictures[0][1])


async def test_keyframe_wish_reaches_the_encoder() -> None:
    rig = Rig(ToldDetector(), NumberedCamera())
    async with rig.running():
        await rig.until(lambda: len(rig.packets) > 5)
        assert rig.encoder.keyframes == 1
        rig.flow.rendition.want_keyframe()
        await rig.until(lambda: rig.encoder.keyframes == 2)
