"""`veilcam redact` on clips: every frame, its time, nothing but pictures, and nobody through a gap."""

import json
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from firmware.core.frames import Detection
from firmware.core.raw import DetectorPicture
from firmware.pipeline.mask import Fill
from tests.redact.conftest import BrightSquares, Run, background, painted, read_clip, with_square, write_clip

FILL = Fill()
LENGTH = 30


def walk(width: int = 160, height: int = 120, length: int = LENGTH) -> list[np.ndarray]:
    """A square that walks to the right over a background that moves."""
    return [with_square(background(width, height, n), 10 + 2 * n, 40) for n in range(length)]


def told(path: Path, name: str) -> dict[str, list[object]]:
    return json.loads(path.read_text())[name]


def assert_hidden(clip: Path, regions: dict[str, list[object]], originals: list[np.ndarray]) -> None:
    """Check every frame: where the square was is said to be hidden and is fill; the rest is as it was."""
    frames = read_clip(clip)
    assert len(frames) == len(originals)
    assert list(regions) == [str(n) for n in range(len(frames))]
    fill = cv2.cvtColor(
        np.array([FILL.y] * 4 + [FILL.u, FILL.v], np.uint8).reshape(3, 2), cv2.COLOR_YUV2BGR_I420
    )[0, 0].astype(int)
    for n, (frame, original) in enumerate(zip(frames, originals, strict=True)):
        height, width = frame.shape[:2]
        hidden = painted(regions[str(n)], height, width)
        x = 10 + 2 * n
        assert hidden[40:64, x : x + 24].all(), n
        inside = cv2.erode(hidden.astype(np.uint8), np.ones((9, 9))) > 0
        assert not inside.any() or np.abs(frame[inside].astype(int) - fill).mean() < 10
        outside = cv2.dilate(hidden.astype(np.uint8), np.ones((33, 33))) == 0
        h, w = original.shape[:2]
        difference = np.abs(frame[:h, :w].astype(int) - original)[outside[:h, :w]]
        # Two lossy encodings lie between them.
        assert difference.size == 0 or difference.mean() < 10, n


@pytest.mark.parametrize("pace", ["thorough", "realtime"])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
def test_everybody_is_hidden_in_every_frame(suffix: str, pace: str, tmp_path: Path, run: Run) -> None:
    source = tmp_path / f"in.{suffix}"
    write_clip(source, walk())
    assert run(source, tmp_path / f"out.{suffix}", "--pace", pace, "--regions", tmp_path / "r.json") == 0
    assert_hidden(tmp_path / f"out.{suffix}", told(tmp_path / "r.json", source.name), walk())


def test_webm_comes_out_as_h264_under_its_name(tmp_path: Path, run: Run) -> None:
    write_clip(tmp_path / "in.webm", walk(length=8), codec="libvpx")
    assert run(tmp_path / "in.webm", tmp_path / "out.webm") == 0
    with av.open(str(tmp_path / "out.webm")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(read_clip(tmp_path / "out.webm")) == 8


def test_misses_of_a_detector_do_not_show_anybody(tmp_path: Path, run: Run, squares: BrightSquares) -> None:
    write_clip(tmp_path / "in.mp4", walk())
    squares.__init__(lambda look: look in (0, 1, *range(8, 20), 25, 28, 29))  # type: ignore[misc]
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4", "--regions", tmp_path / "r.json") == 0
    assert_hidden(tmp_path / "out.mp4", told(tmp_path / "r.json", "in.mp4"), walk())


def test_neither_sound_nor_tags_come_through(tmp_path: Path, run: Run) -> None:
    for suffix in ("mp4", "mkv", "mov", "avi"):
        source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
        write_clip(source, walk(length=6), sound=suffix != "avi")
        assert run(source, target) == 0
        with av.open(str(target)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            tags = {*container.metadata, *container.streams.video[0].metadata}
        allowed = {
            "major_brand",
            "minor_version",
            "compatible_brands",
            "language",
            "handler_name",
            "vendor_id",
        }
        # Matroska demands the name of a muxer; it comes without a version.
        allowed |= {"duration", "encoder"} if suffix == "mkv" else set()
        assert {tag.lower() for tag in tags} <= allowed, suffix
        data = target.read_bytes()
        for secret in (b"Secret Title", b"+52.1", b"x264", b"Lavf6", b"Lavc"):
            assert secret not in data, (suffix, secret)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_time_stamps_are_kept(suffix: str, tmp_path: Path, run: Run) -> None:
    stamps = [0, 40, 80, 130, 131, 300, 301, 420, 460, 500]
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    write_clip(source, walk(length=10), stamps, time_base=Fraction(1, 1000))
    assert run(source, target) == 0

    def times(path: Path) -> list[float]:
        with av.open(str(path)) as container:
            return [round(float(frame.time or 0), 3) for frame in container.decode(video=0)]

    assert times(target) == times(source) == [stamp / 1000 for stamp in stamps]


def test_odd_sizes_are_padded_to_even(tmp_path: Path, run: Run) -> None:
    source = tmp_path / "in.avi"
    write_clip(source, walk(161, 121, 8), codec="mpeg4")
    assert run(source, tmp_path / "out.avi", "--regions", tmp_path / "r.json") == 0
    frames = read_clip(tmp_path / "out.avi")
    assert frames[0].shape == (122, 162, 3)
    assert_hidden(tmp_path / "out.avi", told(tmp_path / "r.json", "in.avi"), walk(161, 121, 8))


def test_regions_are_even_and_inside(tmp_path: Path, run: Run) -> None:
    write_clip(tmp_path / "in.mp4", walk(length=20))
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4", "--regions", tmp_path / "r.json") == 0
    for regions in told(tmp_path / "r.json", "in.mp4").values():
        for x, y, w, h in regions:  # type: ignore[misc]
            assert x % 2 == y % 2 == w % 2 == h % 2 == 0
            assert x >= 0
            assert y >= 0
            assert x + w <= 160
            assert y + h <= 120


@pytest.mark.parametrize("keep", [0, 20, 0.3, 0.6])
def test_a_cut_clip_is_32_and_leaves_nothing(keep: float, tmp_path: Path, run: Run) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out" / "out.mp4"
    write_clip(source, walk())
    data = source.read_bytes()
    source.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    assert run(source, target) == 32
    assert not target.exists()
    assert not list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else True


def test_of_a_clip_broken_in_the_middle_is_redacted_what_there_is(tmp_path: Path, run: Run) -> None:
    source = tmp_path / "in.mkv"
    write_clip(source, walk())
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    assert run(source, tmp_path / "out.mkv", "--regions", tmp_path / "r.json") == 32
    frames = read_clip(tmp_path / "out.mkv")
    assert 3 < len(frames) < LENGTH
    assert_hidden(tmp_path / "out.mkv", told(tmp_path / "r.json", "in.mkv"), walk(length=len(frames)))


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display rotation into the track header of an MP4 (ISO/IEC 14496-12, tkhd)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "shape"),
    [((0, 1, -1, 0), (160, 120)), ((0, -1, 1, 0), (160, 120)), ((-1, 0, 0, -1), (120, 160))],
)
def test_a_turned_clip_comes_out_upright(
    matrix: tuple[int, int, int, int], shape: tuple[int, int], tmp_path: Path, run: Run
) -> None:
    source = tmp_path / "in.mp4"
    write_clip(source, walk(length=4))
    turn(source, matrix)
    shown = read_clip(source)
    assert shown[0].shape[:2] == shape
    assert run(source, tmp_path / "out.mp4", "--regions", tmp_path / "r.json") == 0
    frames = read_clip(tmp_path / "out.mp4")
    assert frames[0].shape == shown[0].shape
    for n, regions in told(tmp_path / "r.json", "in.mp4").items():
        bright = np.argwhere(shown[int(n)].min(axis=2) > 230)
        assert len(bright) > 300
        assert painted(regions, *shape)[tuple(bright.T)].all()
        assert frames[int(n)].min(axis=2).max() < 215


def test_sound_alone_is_32(tmp_path: Path, run: Run) -> None:
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=48_000)
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        noise.rate = 48_000
        container.mux(audio.encode(noise))
        container.mux(audio.encode(None))
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4") == 32


def test_an_interrupt_leaves_nothing(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "in.mp4", walk())

    def interrupted(*args: object) -> int:
        (tmp_path / "seen").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("firmware.redact.work.write_clip", interrupted)
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4") == 130
    (tmp_path / "seen").unlink()
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_clip_replaced_by_another_on_the_way_is_not_released(
    tmp_path: Path, run: Run, squares: BrightSquares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next clip of a recorder has as many frames, but its people are elsewhere."""
    source, following = tmp_path / "latest.mp4", tmp_path / "next.mp4"
    write_clip(source, walk())
    write_clip(following, [with_square(background(160, 120, n), 110, 80) for n in range(LENGTH)])
    detect = squares.detect

    def replace_at_the_last(picture: DetectorPicture) -> list[Detection]:
        if squares.looks == LENGTH - 1:
            following.replace(source)
        return detect(picture)

    monkeypatch.setattr(squares, "detect", replace_at_the_last)
    assert run(source, tmp_path / "out.mp4") == 32
    assert [path.name for path in tmp_path.iterdir()] == ["latest.mp4"]
