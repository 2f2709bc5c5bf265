"""A clip as a camera: frames in order, over and over, and clear words where it is damaged."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from firmware.config.drivers import FileOptions
from firmware.core.scene import read_number
from firmware.drivers.camera_file import open_camera
from firmware.errors import CameraLost, EndOfSource, SourceCorrupt, SourceNotFound
from tests.drivers.clips import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "numbers.mp4"
    write_clip(path)
    return path


def options(path: Path, *, loop: bool = False) -> FileOptions:
    return FileOptions(driver="file", path=str(path), loop=loop, realtime=False)


async def numbers(path: Path, count: int, *, loop: bool = False) -> list[int | None]:
    async with open_camera(options(path, loop=loop)) as camera:
        frames = [await asyncio.to_thread(camera.capture) for _ in range(count)]
        assert [frame.seq for frame in frames] == list(range(count))
        return [read_number(frame.planes.y) for frame in frames]


async def test_every_frame_in_order_then_the_end(clip: Path) -> None:
    assert await numbers(clip, 50) == list(range(50))
    with pytest.raises(EndOfSource):
        await numbers(clip, 51)


async def test_loops_as_a_camera_that_never_ends(clip: Path) -> None:
    assert await numbers(clip, 120, loop=True) == [n % 50 for n in range(120)]


async def test_size_and_rate_are_told(clip: Path) -> None:
    async with open_camera(options(clip)) as camera:
        assert (camera.info.width, camera.info.height, camera.info.fps) == (640, 64, 25)


async def test_missing_clip(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no such file"):
        await numbers(tmp_path / "none.mp4", 1)


@pytest.mark.parametrize("content", [b"", b"not a clip at all" * 100, b"\0" * 5000])
async def test_file_that_is_no_clip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceCorrupt, match=r"noise\.mp4"):
        await numbers(path, 1)


@pytest.fixture
def cut_clip(clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cut.mp4"
    whole = clip.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return path


async def test_clip_that_breaks_off_is_a_camera_lost_and_not_an_end(cut_clip: Path) -> None:
    with pytest.raises(CameraLost, match=r"cut\.mp4: breaks off after \d+ frames"):
        await numbers(cut_clip, 200, loop=True)


async def test_clip_without_picture(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        silence.rate = 8000
        container.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(SourceCorrupt, match=r"sound\.mkv: has no video stream"):
        await numbers(path, 1)


async def test_clip_that_changes_its_size_is_a_camera_lost(tmp_path: Path) -> None:
    parts = []
    for name, height in (("one.ts", 64), ("two.ts", 96)):
        write_clip(tmp_path / name, frames=10, height=height)
        parts.append(await asyncio.to_thread((tmp_path / name).read_bytes))
    both = tmp_path / "both.ts"
    await asyncio.to_thread(both.write_bytes, b"".join(parts))
    with pytest.raises(CameraLost, match="changes its picture size"):
        await numbers(both, 20)


async def test_closing_does_not_free_what_a_hung_read_still_uses(tmp_path: Path) -> None:
    """Freed under its reader, libav crashes or loses frames; the reader must get all of them."""
    fifo, clip = tmp_path / "stalled", tmp_path / "clip.ts"
    os.mkfifo(fifo)
    write_clip(clip, frames=300)
    root = Path(__file__).parents[2]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.drivers.hung_reader", str(fifo), str(clip)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "300\n", (done.returncode, done.stderr)
