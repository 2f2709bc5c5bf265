"""A network camera, played by GStreamer's RTSP server on loopback."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.config.drivers import RtspOptions
from firmware.core.address import shown
from firmware.core.scene import read_number
from firmware.drivers.camera_rtsp import RtspCamera, open_camera
from firmware.errors import CameraLost, SourceNotFound
from tests.drivers.clips import write_clip

PEER = Path(__file__).with_name("rtsp_peer.py")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the server; yields its process and the address it plays at."""
    clip = tmp_path / "live.mp4"
    write_clip(clip, frames=500)
    process = subprocess.Popen(["/usr/bin/python3", str(PEER), str(clip)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("rtsp://"), "the RTSP server did not start; run scripts/setup --dev"
        yield process, url
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


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
