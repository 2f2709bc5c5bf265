"""A clip as a camera: frames in order, over and over, and clear words where it is damaged."""

import asyncio
import os
import struct
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from firmware.config.drivers import FileOptions
from firmware.core.frames import Plane
from firmware.core.scene import read_number, write_number
from firmware.drivers.camera_file import open_camera
from firmware.errors import CameraLost, EndOfSource, SourceCorrupt, SourceNotFound
from tests.drivers.clips import write_clip
from tests.redact.odd import make, several


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
    with pytest.raises(CameraLost, match=r"cut\.mp4: breaks off after \d+ of 50 frames"):
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


def trim(path: Path, skip: int, keep: int) -> None:
    """Have an MP4's edit list begin `skip` frames later and end after `keep` (ISO/IEC 14496-12, elst)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    length, begin, rate = struct.unpack_from(">iii", data, at)
    ticks = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    assert (begin, rate) == (0, 1 << 16)
    struct.pack_into(">ii", data, at, length * keep // 50, ticks * skip // 25)
    path.write_bytes(data)


@pytest.mark.parametrize(("skip", "keep"), [(0, 30), (10, 40), (15, 20)])
async def test_a_trimmed_clip_loops(skip: int, keep: int, tmp_path: Path) -> None:
    path = tmp_path / "trimmed.mp4"
    write_clip(path)
    trim(path, skip, keep)
    one = await numbers(path, keep, loop=True)
    assert one == list(range(skip, skip + keep))
    assert await numbers(path, 3 * keep, loop=True) == one * 3


async def test_a_trimmed_clip_ends(tmp_path: Path) -> None:
    write_clip(tmp_path / "trimmed.mp4")
    trim(tmp_path / "trimmed.mp4", 10, 20)
    with pytest.raises(EndOfSource):
        await numbers(tmp_path / "trimmed.mp4", 21)


def picture(n: int, width: int = 640, height: int = 64) -> Plane:
    bgr = np.full((height, width, 3), 90, np.uint8)
    luma = np.full((height, width), 90, np.uint8)
    write_number(luma, n)
    bgr[luma > 200], bgr[luma < 60] = 255, 0
    return bgr


async def taken(path: Path, count: int) -> list[tuple[int, int | None]]:
    """Return of each frame its time in milliseconds since the first, and the number it carries."""
    async with open_camera(options(path, loop=True)) as camera:
        frames = [await asyncio.to_thread(camera.capture) for _ in range(count)]
    begun = frames[0].captured_ns
    return [(round((frame.captured_ns - begun) / 1e6), read_number(frame.planes.y)) for frame in frames]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
async def test_a_clip_of_a_picture_every_ten_seconds_gives_it_four_times_a_second(
    suffix: str, tmp_path: Path
) -> None:
    path = make(tmp_path / f"slow.{suffix}", [picture(n) for n in range(3)], stamps_ms=[0, 10_000, 20_000])
    seen = await taken(path, 81)
    times, shown = zip(*seen, strict=True)
    assert list(times) == sorted(set(times))
    assert max(np.diff(times)) <= 250
    assert shown == (*[0] * 40, *[1] * 40, 2)


@pytest.mark.parametrize("rate", [120, 240, 1000])
async def test_a_clip_faster_than_anybody_looks_is_thinned_and_takes_its_time(
    rate: int, tmp_path: Path
) -> None:
    stamps = [1000 * n // rate for n in range(rate)]
    path = make(tmp_path / "fast.mp4", [picture(n) for n in range(rate)], stamps_ms=stamps)
    async with open_camera(options(path)) as camera:
        assert camera.info.fps <= 60
    seen = await taken(path, 40)
    for (before, _), (after, number) in pairwise(seen):
        assert after - before >= 15
        assert number is not None
        assert abs(stamps[number] - after) < 20, "as late as its own clock says"


async def test_a_nominal_rate_is_not_believed(tmp_path: Path) -> None:
    """A browser's recorder says 1000 a second and stamps 25."""
    path = make(tmp_path / "nominal.mkv", [picture(n) for n in range(20)])
    assert [at for at, _ in (await taken(path, 20))[1:]] == pytest.approx(
        [40 * n for n in range(1, 20)], abs=41
    )


async def test_the_cover_is_not_the_film(tmp_path: Path) -> None:
    cover = [np.full((720, 1280, 3), 200, np.uint8)]
    films = [(cover, "mjpeg", 0), ([picture(n) for n in range(10)], "libx264", 1)]
    path = several(tmp_path / "covered.mkv", films)
    assert [number for _, number in await taken(path, 10)] == list(range(10))


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(64, 45), (910, 64)), (Fraction(2), (1280, 64)), (Fraction(1, 2), (640, 128))],
)
async def test_pixels_come_out_square(aspect: Fraction, size: tuple[int, int], tmp_path: Path) -> None:
    path = make(tmp_path / "wide.mp4", [picture(n) for n in range(3)], aspect=aspect)
    async with open_camera(options(path)) as camera:
        frame = await asyncio.to_thread(camera.capture)
        assert (camera.info.width, camera.info.height) == size
        assert (frame.planes.width, frame.planes.height) == size
        assert frame.planes.u.shape == (size[1] // 2, size[0] // 2)


async def test_full_range_is_converted(tmp_path: Path) -> None:
    white = np.full((64, 96, 3), 255, np.uint8)
    path = make(tmp_path / "bright.webm", [white] * 3, codec="libvpx-vp9", full_range=True)
    async with open_camera(options(path)) as camera:
        frame = await asyncio.to_thread(camera.capture)
        assert abs(int(frame.planes.y.mean()) - 235) <= 2


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
async def test_a_scratch_costs_what_lay_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scratched.{suffix}"
    write_clip(path)
    data = bytearray(path.read_bytes())
    at = len(data) // 3
    data[at : at + 3000] = bytes(3000)
    path.write_bytes(data)
    seen = await taken(path, 48)
    read = [number for _, number in seen if number is not None]
    assert read[0] == 0
    assert max(read) > 44, "it goes on to the end"
    assert len(set(read)) >= 30
