"""A network camera, played by GStreamer's RTSP server on loopback."""

import asyncio
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from firmware.config.drivers import RtspOptions
from firmware.core.address import shown, with_escaped_password
from firmware.core.scene import read_number
from firmware.drivers.camera_rtsp import RtspCamera, open_camera
from firmware.errors import CameraLost, SourceCorrupt, SourceNotFound
from firmware.pipeline.capture import Capture
from tests.drivers.clips import write_clip
from tests.drivers.rtsp_relay import Relay
from tests.redact.odd import film, make

PEER = Path(__file__).with_name("rtsp_peer.py")


@contextmanager
def playing(clip: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server of a clip; yields its process and the address it plays at."""
    command = ["/usr/bin/python3", str(PEER), str(clip), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("rtsp://"), "the RTSP server did not start; run scripts/setup --dev"
        yield process, url
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that a camera would give: a picture that stands alone every ten."""
    path = tmp_path_factory.mktemp("clips") / "live.mp4"
    write_clip(path, frames=500)
    return path


@pytest.fixture
def server(clip: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with playing(clip) as started:
        yield started


def options(url: str) -> RtspOptions:
    return RtspOptions(driver="rtsp", url=url, timeout_s=5)


async def test_frames_come_in_order_and_a_dead_server_is_a_camera_lost(
    server: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = server
    async with open_camera(options(url)) as camera:
        assert (camera.info.width, camera.info.height) == (640, 64)
        frames = [await asyncio.to_thread(camera.capture) for _ in range(20)]
        seen = [read_number(frame.planes.y) for frame in frames]
        assert None not in seen
        assert seen == sorted(set(seen))
        process.kill()
        with pytest.raises(CameraLost, match="connection"):
            await asyncio.to_thread(pull_all, camera)


def pull_all(camera: RtspCamera) -> None:
    for _ in range(1000):
        camera.capture()


async def test_lost_pictures_cost_what_depends_on_them_and_nothing_else(
    server: tuple[subprocess.Popen[str], str], clip: Path
) -> None:
    with av.open(str(clip)) as container:
        whole = [frame.to_ndarray()[:64] for frame in container.decode(video=0)]
    async with (
        Relay(server[1], (), lost_every=17).running() as spoiled,
        open_camera(options(spoiled)) as camera,
    ):
        frames = [await asyncio.to_thread(camera.capture) for _ in range(200)]
    seen = [read_number(frame.planes.y) for frame in frames]
    assert seen == sorted(set(seen))
    assert all((whole[n] == frame.planes.y).all() for n, frame in zip(seen, frames, strict=True))
    assert sum(frame.skipped for frame in frames) > 20
    assert not any(frame.damaged for frame in frames), "nothing was missing for half a second"


async def test_nobody_there() -> None:
    with pytest.raises(SourceNotFound, match=r"rtsp://127\.0\.0\.1:9: cannot connect"):
        async with open_camera(options("rtsp://user:secret@127.0.0.1:9/none?token=hidden")):
            pass


@pytest.mark.parametrize(
    "rest",
    [
        "user:secret@camera:554/1?token=secret",
        "user:/secret@camera:554/1",
        "user:12#secret@camera:554",
        "user:12?secret@camera:554/1",
        "user:[secret@camera:554/1",
        "user:se@cret@camera:554/1",
        "camera:554/user=admin_password=secret_channel=1.sdp",
    ],
)
def test_address_is_shown_without_secrets(rest: str) -> None:
    assert shown(f"rtsp://{rest}") == "rtsp://camera:554"


async def test_a_camera_that_speaks_udp_alone_is_said_to_and_plays_where_it_is_allowed(clip: Path) -> None:
    with playing(clip, "udp") as (_, url):
        with pytest.raises(SourceNotFound, match=r'UDP alone: set transport = "udp"'):
            async with open_camera(options(url)):
                pass
        allowed = RtspOptions(driver="rtsp", url=url, timeout_s=5, transport="udp")
        async with open_camera(allowed) as camera:
            frames = [await asyncio.to_thread(camera.capture) for _ in range(20)]
        assert sum(read_number(frame.planes.y) is not None for frame in frames) >= 10


async def test_h265_is_taken_over_tcp_and_refused_over_udp(tmp_path: Path) -> None:
    """Over UDP holes are not noticed that libav fills by itself."""
    clip = make(tmp_path / "live.mp4", film(50), codec="libx265")
    with playing(clip, "h265") as (_, url):
        async with open_camera(options(url)) as camera:
            await asyncio.to_thread(camera.capture)
        over_udp = RtspOptions(driver="rtsp", url=url, timeout_s=5, transport="udp")
        with pytest.raises(SourceCorrupt, match=r'H\.265.*set transport = "tcp"'):
            async with open_camera(over_udp):
                pass


@pytest.mark.parametrize("password", ["pa#ss", "pa?ss", "pa/ss", "p@ss", "pa ss", "pa:ss", "#?/@: %", "100%"])
async def test_a_password_may_have_any_letter(password: str, clip: Path) -> None:
    with playing(clip, password) as (_, url):
        address = url.replace("rtsp://", f"rtsp://watcher:{password}@")
        async with open_camera(options(address)) as camera:
            await asyncio.to_thread(camera.capture)
        wrong = options(url.replace("rtsp://", "rtsp://watcher:wr#ng@"))
        with pytest.raises(SourceNotFound, match="refused the user or password") as refused:
            async with open_camera(wrong):
                pass
        shown_by_a_traceback = "".join(traceback.format_exception(refused.value))
        assert "wr#ng" not in shown_by_a_traceback
        assert "wr%23ng" not in shown_by_a_traceback


@pytest.mark.parametrize(
    ("rest", "escaped"),
    [
        ("u:p@camera:554/1?token=a@b", "u:p@camera:554/1?token=a@b"),
        ("camera:554/user=admin_password=secret@home", "camera:554/user=admin_password=secret@home"),
        ("camera/a@b/c", "camera/a@b/c"),
        ("u:12#s@camera", "u:12%23s@camera"),
        ("u:/s@camera:554/1", "u:%2Fs@camera:554/1"),
        ("u:p%23q@[::1]:554/1", "u:p%23q@[::1]:554/1"),
        ("u:50%@camera", "u:50%25@camera"),
        ("camera", "camera"),
        ("camera?mail=me@example.org", "camera?mail=me@example.org"),
        ("camera:554?mail=me@example.org", "camera:554?mail=me@example.org"),
        ("u:12?s@camera", "u:12?s@camera"),
    ],
)
def test_what_is_no_password_stays_as_it_is(rest: str, escaped: str) -> None:
    assert with_escaped_password(f"rtsp://{rest}") == f"rtsp://{escaped}"


async def test_garbled_pictures_are_left_out_or_hidden(clip: Path) -> None:
    """What is not said to be damaged is the very picture that was sent."""
    with playing(clip) as (_, url):
        async with (
            Relay(url, [], garbled=0.004, loss=0.002).running() as spoiled,
            open_camera(options(spoiled)) as camera,
        ):
            frames = [await asyncio.to_thread(camera.capture) for _ in range(150)]
    numbers = [read_number(frame.planes.y) for frame in frames if not frame.damaged]
    assert None not in numbers
    assert numbers == sorted(set(numbers))
    assert sum(frame.skipped for frame in frames) > 5


async def test_a_frame_in_six_seconds_is_a_camera_where_it_is_told_to_wait(tmp_path: Path) -> None:
    """Past the capture stage, which gives a silent camera up."""
    picture = np.full((64, 96, 3), 90, np.uint8)
    stamps = [*range(0, 400, 40), 6_400, 12_400]
    make(tmp_path / "seldom.mp4", [picture] * len(stamps), stamps_ms=stamps)
    with playing(tmp_path / "seldom.mp4") as (_, url):
        patient = RtspOptions(driver="rtsp", url=url, timeout_s=9)
        async with open_camera(patient) as camera:
            capture = Capture(camera)
            running = asyncio.create_task(capture.run())
            with capture.outlet("seen") as outlet:
                async with asyncio.timeout(30):
                    last = frame = await outlet.take()
                    while frame.captured_ns - last.captured_ns < 5_500_000_000:
                        last, frame = frame, await outlet.take()
            assert not running.done()
            running.cancel()
            await asyncio.wait((running,))
