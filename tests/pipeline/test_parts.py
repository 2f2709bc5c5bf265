"""Mailbox, hold, worker and the detectors' picture."""

import asyncio
import gc
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from firmware.core.cuts import Cut, Sight
from firmware.core.frames import Detection, Kind, Planes
from firmware.core.geometry import Box
from firmware.core.moment import Moment
from firmware.core.raw import DetectorPicture, RawFrame
from firmware.pipeline.capture import Capture
from firmware.pipeline.hold import Hold
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.view import Cutter, detector_picture, in_full, look
from firmware.pipeline.worker import Worker
from tests.pipeline.doubles import CLEAR, FACE, NumberedCamera, ToldDetector


def frame(seq: int, released: list[int]) -> RawFrame:
    planes = Planes.of(np.zeros((96, 64), np.uint8))
    return RawFrame(planes, seq, seq, on_release=lambda: released.append(seq))


async def test_newest_frame_wins_and_the_displaced_one_is_released_and_counted() -> None:
    released: list[int] = []
    mailbox = Mailbox()
    mailbox.put(frame(1, released))
    mailbox.put(frame(2, released))
    assert (released, mailbox.dropped) == ([1], 1)
    assert (await mailbox.take()).seq == 2
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await mailbox.take()
    mailbox.put(frame(3, released))
    mailbox.close()
    assert released == [1, 3]


def test_hold_keeps_the_least_and_releases_what_is_settled_one_by_one() -> None:
    hold = Hold(2, 5)
    settled: set[int] = set()

    def push(seq: int) -> list[int]:
        return [one.seq for one in hold.push(frame(seq, []), lambda held: held.seq in settled)]

    settled |= {1, 2}
    assert [push(1), push(2), push(3)] == [[], [], [1]]
    assert push(4) == [2]
    assert [push(5), push(6), push(7)] == [[], [], []], "3 is not settled"
    assert push(8) == [3], "but five frames are the most that is kept"
    settled |= {4, 5, 6, 7, 8}
    assert push(9) == [4], "one for one, so that the stream stays even"


def test_hold_gets_shorter_again_after_a_calm_while() -> None:
    released: list[int] = []
    hold = Hold(2, 10)
    for seq in range(10):
        hold.push(frame(seq, released), lambda held: False)
    assert len(hold) == 10
    for seq in range(10, 1000):
        for one in hold.push(frame(seq, released), lambda held: True):
            one.release()
    assert len(hold) == 2
    assert released == sorted(released)
    hold.close()
    assert len(released) == 1000


def test_lease_is_returned_once_and_only_by_the_last_holder() -> None:
    released: list[int] = []
    one = frame(1, released)
    one.lease()
    one.release()
    assert released == []
    one.release()
    assert released == [1]
    with pytest.raises(ValueError, match="twice"):
        one.release()
    with pytest.raises(ValueError, match="already"):
        one.lease()


async def test_worker_returns_raises_and_accounts_for_its_thread() -> None:
    async with Worker("test-worker") as worker:
        assert await worker.start(lambda: threading.current_thread().name) == "test-worker"

        def fail() -> None:
            raise KeyError("inside")

        with pytest.raises(KeyError, match="inside"):
            await worker.start(fail)
        await worker.start(lambda: sum(range(200_000)))
    assert worker.cpu_ns > 0


async def test_a_failure_that_nobody_waits_for_any_more_is_not_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise KeyError("inside")

    async with Worker("test-worker") as worker:
        worker.start(fail)
        await asyncio.sleep(0.05)
        gc.collect()
        await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text


WHOLE = Box(0, 0, 1280, 720)


def test_detector_picture_keeps_aspect_and_colour() -> None:
    i420 = np.empty((720 * 3 // 2, 1280), np.uint8)
    planes = Planes.of(i420)
    planes.y[:], planes.u[:], planes.v[:] = 81, 90, 240  # red in BT.601 limited range
    picture = detector_picture(RawFrame(planes, 5, 6), Cut(WHOLE, 0.5))
    assert picture.bgr.shape == (360, 640, 3)
    assert np.abs(picture.bgr.astype(int) - (0, 0, 254)).max() <= 2
    assert (picture.moment, picture.part) == (Moment(6, 5, 5), WHOLE)


def test_a_part_of_a_frame_is_cut_where_it_lies_on_even_pixels() -> None:
    planes = Planes.of(np.full((720 * 3 // 2, 1280), 128, np.uint8))
    planes.y[:] = 16
    planes.y[201:300, 401:500] = 235
    picture = detector_picture(RawFrame(planes, 0, 0), Cut(Box(401, 201, 99, 99), 1.0))
    assert picture.part == Box(400, 200, 100, 100)
    assert picture.bgr.shape == (100, 100, 3)
    assert picture.bgr[1:, 1:].min() > 250
    assert picture.bgr[0].max() < 5


def test_detector_picture_prefers_what_the_camera_made_small() -> None:
    planes = Planes.of(np.zeros((720 * 3 // 2, 1280), np.uint8))
    lores = Planes.of(np.full((360 * 3 // 2, 640), 128, np.uint8))
    frame = RawFrame(planes, 0, 0, lores=lores)
    assert detector_picture(frame, Cut(WHOLE, 0.5)).bgr.mean() > 100
    assert detector_picture(frame, Cut(Box(640, 360, 640, 360), 0.5)).bgr.mean() > 100
    assert detector_picture(frame, Cut(WHOLE, 0.75)).bgr.mean() < 100, "it is not fine enough for this"


def test_planes_that_lie_together_are_one_picture_without_a_copy_and_others_are_copied() -> None:
    i420 = np.random.default_rng(1).integers(0, 255, (96, 64), np.uint8)
    together = Planes.of(i420)
    assert np.shares_memory(together.i420(), i420)
    np.testing.assert_array_equal(together.i420(), i420)
    apart = Planes(together.y.copy(), together.u.copy(), together.v.copy())
    np.testing.assert_array_equal(apart.i420(), i420)
    wide = np.zeros((64, 100), np.uint8)
    wide[:, :64] = together.y
    np.testing.assert_array_equal(Planes(wide[:, :64], together.u, together.v).i420(), i420)


def test_cutter_cuts_once_for_all_detectors_of_a_frame_that_want_the_same() -> None:
    cutter = Cutter()
    one, same, finer = ToldDetector(), ToldDetector(), ToldDetector()
    one.sight = same.sight = Sight(640, 384, grows=True)
    finer.sight = Sight(960, 544, grows=True)
    planes = Planes.of(np.zeros((720 * 3 // 2, 1280), np.uint8))
    for seq in range(2):
        frame = RawFrame(planes, seq, seq)
        (first,), (second,), (third,) = (cutter.cut(frame, which) for which in (one, same, finer))
        assert first is second
        assert (first.bgr.shape, third.bgr.shape) == ((360, 640, 3), (540, 960, 3))
        assert first.moment == frame.moment


def test_who_is_in_two_parts_is_told_once() -> None:
    class Sees(ToldDetector):
        def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
            x = FACE.x - picture.part.x
            return [Detection(Kind.FACE, Box(x, FACE.y, FACE.w, FACE.h), 0.5 + picture.part.x / 1000)]

    pictures = [
        DetectorPicture(np.zeros((192, 200, 3), np.uint8), Moment(0, 0, 0), Box(x, 0, 200, 192))
        for x in (0, 60, 90)
    ]
    (found,) = look(Sees(), pictures)
    assert (found.box, round(found.score, 2)) == (FACE, 0.59)


def test_detections_come_back_where_the_part_lies() -> None:
    picture = DetectorPicture(np.zeros((90, 160, 3), np.uint8), Moment(0, 0, 0), Box(640, 360, 320, 180))
    (found,) = in_full([Detection(Kind.FACE, Box(10, 20, 30, 40), 0.5)], picture)
    assert found.box == Box(660, 400, 60, 80)


async def test_outlets_open_and_close_while_frames_come() -> None:
    camera = NumberedCamera(fps=500)
    capture = Capture(camera)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(capture.run())
        with capture.outlet("kept") as kept:
            for _ in range(20):
                with capture.outlet("short") as short:
                    (await short.take()).release()
            before = await kept.take()
            assert before.planes.y[0, 0] == CLEAR
            before.release()
            await asyncio.sleep(0.05)
            assert capture.dropped["kept"] > 5
        running.cancel()
    assert capture.dropped["kept"] > 5, "what a closed outlet dropped stays counted"
    assert camera.leased <= 1, "the one that was being captured"
