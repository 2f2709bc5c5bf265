"""What the pipeline may rely on, whichever driver a board names for its camera (contracts.py)."""

from pathlib import Path

import numpy as np
import pytest

from firmware.config.drivers import ArgusOptions, Picamera2Options
from firmware.errors import CameraLost, DriverUnavailable, SourceCorrupt, SourceNotFound
from firmware.ports import Camera
from tests.drivers import fake_picamera2
from tests.drivers.alone import by_itself
from tests.drivers.contracts import CAMERAS, HEIGHT, WIDTH, Bound, cameras, jetson, picamera2

PI = Picamera2Options(driver="picamera2", width=WIDTH, height=HEIGHT, lores_width=150)


@pytest.fixture(params=CAMERAS)
def bound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bound:
    return cameras(request.param, monkeypatch, tmp_path)


@pytest.mark.models
@by_itself
async def test_frames_come_as_told_in_order_and_go_back_once(bound: Bound) -> None:
    async with bound.opens() as camera:
        assert (camera.info.width, camera.info.height) == (WIDTH, HEIGHT)
        before = None
        for n in range(10):
            frame = camera.capture()
            assert frame.seq == n
            planes = frame.planes
            assert (planes.y.shape, planes.u.shape) == ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2))
            assert planes.y.dtype == np.uint8
            assert before is None or frame.captured_ns > before
            before = frame.captured_ns
            assert (frame.lores is not None) == bound.lores
            frame.release()
            with pytest.raises(ValueError, match="released twice"):
                frame.release()


@pytest.mark.models
@by_itself
async def test_frames_that_are_held_stay_as_they_were(bound: Bound) -> None:
    async with bound.opens() as camera:
        held = [camera.capture() for _ in range(15)]
        seen = [(frame.planes.y.copy(), frame.planes.u.copy()) for frame in held]
        later = camera.capture()
        for frame, (luma, chroma) in zip(held, seen, strict=True):
            assert (frame.planes.y == luma).all()
            assert (frame.planes.u == chroma).all()
        for frame in (*held, later):
            frame.release()


@pytest.mark.models
@by_itself
async def test_it_is_opened_again_and_closed_each_time(bound: Bound) -> None:
    for _ in range(3):
        async with bound.opens() as camera:
            frame = camera.capture()
            assert frame.seq == 0, "each time from the beginning"
            assert frame.planes.y.shape == (HEIGHT, WIDTH)
            frame.release()


@by_itself
async def test_picamera2s_pictures_are_views_without_the_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("YUV420", "NV12"):
        driver = picamera2(monkeypatch, name)
        async with driver.open_camera(PI) as camera:
            frame = camera.capture()
            for planes in (frame.planes, frame.lores):
                assert not planes.y.flags.owndata
                assert (planes.y.min(), planes.y.max()) == (16, 16)
                assert (int(planes.u.max()), int(planes.v.max())) == (100, 150)
                assert (int(planes.u.min()), int(planes.v.min())) == (100, 150)
            assert frame.lores.y.shape == (110, 150)
            second = frame.lease()
            frame.release()
            assert fake_picamera2.Picamera2.opened == 1
            second.release()
        assert fake_picamera2.Picamera2.opened == 0


@by_itself
async def test_picamera2_that_is_out_of_buffers_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = picamera2(monkeypatch, "YUV420")
    monkeypatch.setattr(driver, "WITHIN_S", 0.2)
    async with driver.open_camera(PI) as camera:
        held = [camera.capture() for _ in range(PI.buffers)]
        with pytest.raises(CameraLost, match="all 24 buffers are held"):
            camera.capture()
        for frame in held:
            frame.release()
        camera.capture().release()


@by_itself
async def test_picamera2_says_what_is_wrong_with_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = picamera2(monkeypatch, "YUV420")
    monkeypatch.setattr(driver, "WITHIN_S", 0.1)
    camera: Camera
    async with driver.open_camera(PI) as camera:
        fake_picamera2.Picamera2.silent = True
        with pytest.raises(CameraLost, match=r"no picture for 0\.1 s; check its cable"):
            camera.capture()
    fake_picamera2.Picamera2.silent, fake_picamera2.Picamera2.busy = False, True
    with pytest.raises(SourceNotFound, match="resource busy; is another program using it"):
        await opened(driver.open_camera(PI))
    with pytest.raises(SourceNotFound, match="camera 3: there is none; check its cable"):
        await opened(driver.open_camera(PI.model_copy(update={"camera": 3})))
    driver = picamera2(monkeypatch, "RGB888")
    with pytest.raises(SourceCorrupt, match=r"gives none of YUV420, NV12 .* choose another size"):
        await opened(driver.open_camera(PI))
    assert fake_picamera2.Picamera2.opened == 0


async def opened(camera: object) -> None:
    async with camera:  # type: ignore[attr-defined]
        pass


@by_itself
async def test_argus_says_what_is_missing_and_what_the_pipeline_says(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = jetson(monkeypatch)
    options = ArgusOptions(driver="argus", width=WIDTH, height=HEIGHT)
    monkeypatch.setattr(driver, "WITHIN_S", 0.5)
    async with driver.open_camera(options) as camera:
        camera.capture().release()
        camera._pipeline.pipeline.get_by_name("source").set_state(driver.Gst.State.PAUSED)
        with pytest.raises(CameraLost, match="it gives nothing; check its cable"):
            capture_on(camera)
    monkeypatch.setattr(driver, "START_S", 0.5)
    monkeypatch.setattr(driver, "SOURCE", "filesrc location=/nowhere name=source ! decodebin")
    with pytest.raises(SourceNotFound, match="check its cable, and restart nvargus-daemon"):
        await opened(driver.open_camera(options))
    monkeypatch.setattr(driver, "SOURCE", "nvarguscamerasrc sensor-id=0")
    with pytest.raises(DriverUnavailable, match=r"nvarguscamerasrc.*install JetPack"):
        await opened(driver.open_camera(options))


def capture_on(camera: Camera) -> None:
    for _ in range(20):
        camera.capture().release()
