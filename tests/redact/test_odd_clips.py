"""Clips that say something unusual of themselves: what comes out says the same, is as long, and upright."""

import itertools
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from firmware.core.frames import Planes
from firmware.redact import clip_reader
from tests.redact.conftest import BrightSquares, Run, background, with_square
from tests.redact.odd import film, make, marked, noise, several

PACES = ["thorough", "realtime"]
UNIT = 1 << 16
TURNS = [(sx, 0, 0, 0, sy, 0, 0, 0, 1 << 30) for sx, sy in itertools.product((UNIT, -UNIT), repeat=2)] + [
    (0, sy, 0, sx, 0, 0, 0, 0, 1 << 30) for sx, sy in itertools.product((UNIT, -UNIT), repeat=2)
]


def times(path: Path, stream: int = 0) -> list[float]:
    with av.open(str(path)) as container:
        return [round(float(frame.time or 0), 3) for frame in container.decode(video=stream)]


def first(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24")


def length(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / 1e6


def corner(picture: np.ndarray, row: int, column: int) -> list[int]:
    """Return the colour near a corner: rows and columns 0 or -1."""
    y, x = (6 if row == 0 else -6), (6 if column == 0 else -6)
    return [int(value) for value in picture[y, x]]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("matrix", TURNS)
def test_a_display_matrix_is_applied_whole(
    matrix: tuple[int, ...], pace: str, tmp_path: Path, run: Run
) -> None:
    """Where each corner goes is computed from ISO/IEC 14496-12's formula, point by point."""
    make(tmp_path / "in.mp4", film(), matrix=matrix)
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4", "--pace", pace) == 0
    a, b, _, c, d = (np.sign(value) for value in matrix[:5])
    before, after = marked(), first(tmp_path / "out.mp4")
    assert after.shape[:2] == ((96, 160) if a else (160, 96))
    for row, column in itertools.product((0, -1), repeat=2):
        # Corners as points at -1 and 1.
        x, y = 2 * (column < 0) - 1, 2 * (row < 0) - 1
        there = (-1 if b * x + d * y > 0 else 0, -1 if a * x + c * y > 0 else 0)
        assert np.abs(np.subtract(corner(after, *there), corner(before, row, column))).max() < 25


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(2), Fraction(8, 9), Fraction(1, 2)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "ts"])
def test_pixels_keep_their_shape(aspect: Fraction, suffix: str, tmp_path: Path, run: Run) -> None:
    make(tmp_path / f"in.{suffix}", film(), aspect=aspect, unit=Fraction(1, 25))
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    with av.open(str(tmp_path / f"out.{suffix}")) as container:
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio, stream.width) == (aspect, 160)


def test_pixels_turned_are_as_high_as_they_were_wide(tmp_path: Path, run: Run) -> None:
    make(tmp_path / "in.mp4", film(), aspect=Fraction(2), matrix=TURNS[5])
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio, stream.width) == (Fraction(1, 2), 96)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"), ("libsvtav1", "mkv"), ("libx264", "mp4")],
)
def test_full_range_comes_out_as_bright_as_it_was_and_says_so(
    codec: str, suffix: str, tmp_path: Path, run: Run
) -> None:
    make(tmp_path / f"in.{suffix}", film(4), codec=codec, full_range=True)
    with av.open(str(tmp_path / f"in.{suffix}")) as container:
        assert int(next(container.decode(video=0)).color_range) == 2
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    with av.open(str(tmp_path / f"out.{suffix}")) as container:
        frame = next(container.decode(video=0))
        assert int(frame.color_range) != 2
        after = frame.to_ndarray(format="bgr24")
    assert np.abs(after.astype(int) - marked()).mean() < 6


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_interlaced_is_called_interlaced(fields: str, suffix: str, tmp_path: Path, run: Run) -> None:
    make(tmp_path / f"in.{suffix}", film(), fields=fields)
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    with av.open(str(tmp_path / f"out.{suffix}")) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))


def test_progressive_is_called_progressive(tmp_path: Path, run: Run) -> None:
    make(tmp_path / "in.mp4", film())
    assert run(tmp_path / "in.mp4", tmp_path / "out.mp4") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


def test_what_a_clip_hides_by_transparency_stays_hidden(
    tmp_path: Path, run: Run, squares: BrightSquares
) -> None:
    squares.__init__(lambda look: True)  # type: ignore[misc]
    pictures = [np.dstack([marked(n=n), np.full((96, 160), 255, np.uint8)]) for n in range(4)]
    for picture in pictures:
        picture[40:80, 60:120, :3], picture[40:80, 60:120, 3] = (10, 10, 200), 0
    make(tmp_path / "in.mov", pictures, codec="qtrle", pix_fmt="argb")
    assert run(tmp_path / "in.mov", tmp_path / "out.mov") == 0
    assert first(tmp_path / "out.mov")[50:70, 70:110].min() > 235, "the ground is white"


COVER = int(Disposition.attached_pic)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(("suffix", "disposition"), [("mkv", 0), ("mp4", COVER), ("mkv", COVER)])
def test_a_cover_is_not_the_film(
    suffix: str, disposition: int, pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands first, is larger, and is named."""
    cover = [noise(320, 240)]
    several(tmp_path / f"in.{suffix}", [(cover, "mjpeg", disposition), (film(), "libx264", 1)])
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}", "--pace", pace) == 0
    assert len(times(tmp_path / f"out.{suffix}")) == 12
    assert "cover" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("out*")] == [f"out.{suffix}"]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_a_second_camera_is_redacted_beside_the_first(
    suffix: str, pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    rear = [with_square(background(128, 80, n), 10 + 2 * n, 20) for n in range(9)]
    several(tmp_path / f"in.{suffix}", [(rear, "libx264", 0), (film(), "libx264", 0)])
    how = ("--pace", pace, "--regions", tmp_path / "r.json")
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}", *how) == 0
    assert first(tmp_path / f"out.{suffix}").shape == (96, 160, 3), "the larger one is the film"
    other = tmp_path / f"out.stream-0.{suffix}"
    assert len(times(other)) == 9
    assert first(other).min(axis=2).max() < 215, "the square is hidden there, too"
    assert other.name in capsys.readouterr().err
    assert set(json.loads((tmp_path / "r.json").read_text())) == {f"in.{suffix}", f"in.stream-0.{suffix}"}


def test_a_second_camera_takes_no_other_files_place(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """One film would be under the other's name, and nobody would know which."""
    folder = tmp_path / "in"
    folder.mkdir()
    several(folder / "a.mp4", [(film(), "libx264", 0), (film(9, 128, 80), "libx264", 0)])
    make(folder / "a.stream-1.mp4", film(5))
    assert run(folder, tmp_path / "out") == 2
    assert len(times(tmp_path / "out" / "a.mp4")) == 12
    assert len(times(tmp_path / "out" / "a.stream-1.mp4")) == 5
    assert "is another file's" in capsys.readouterr().err


def test_pictures_that_cannot_be_converted_end_one_file_alone(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No codec here gives what the converter refuses: the refusal is made, of the kind that it has."""
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder / "a.mp4", film(4, 128, 80))
    make(folder / "b.mp4", film(4))
    convert = clip_reader.even_planes

    def refusing(frame: av.VideoFrame) -> Planes:
        if frame.width == 128:
            raise ValueError("Conversion to rgb24 is not supported")
        return convert(frame)

    monkeypatch.setattr(clip_reader, "even_planes", refusing)
    assert run(folder, tmp_path / "out") == 32
    assert "a.mp4: yuv420p pictures cannot be converted" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("tail_ms", [40, 100, 1000])
def test_the_last_picture_is_shown_as_long_as_it_was(
    suffix: str, tail_ms: int, tmp_path: Path, run: Run
) -> None:
    stamps = [0, 40, 900, 940, 2400, 2440]
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    make(source, film(6), stamps_ms=stamps, tail_ms=tail_ms)
    assert run(source, target) == 0
    assert times(target) == [stamp / 1000 for stamp in stamps]
    assert length(target) == pytest.approx(length(source), abs=0.002)


@pytest.mark.parametrize("start_ms", [500, 90_000, 3_600_000])
@pytest.mark.parametrize(("before", "after"), [("mkv", "mp4"), ("mkv", "mkv"), ("ts", "ts"), ("mkv", "mov")])
def test_a_clip_of_any_hour_begins_at_its_beginning(
    before: str, after: str, start_ms: int, tmp_path: Path, run: Run
) -> None:
    source, target = tmp_path / f"in.{before}", tmp_path / f"out.{after}"
    make(source, film(), stamps_ms=[start_ms + 40 * n for n in range(12)])
    assert run(source, target) == 0
    begin = times(target)[0]
    assert begin < 2, "a transport stream has a moment before its first picture"
    assert [round(at - begin, 3) for at in times(target)] == [round(0.04 * n, 3) for n in range(12)]
    with av.open(str(target)) as container:
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(0.48, abs=0.05)


@pytest.mark.parametrize("unit", [Fraction(1, 600), Fraction(1, 90_000), Fraction(1, 1000)])
def test_avi_has_the_rate_of_the_clip(unit: Fraction, tmp_path: Path, run: Run) -> None:
    make(tmp_path / "in.mov", film(), unit=unit)
    assert run(tmp_path / "in.mov", tmp_path / "out.avi") == 0
    with av.open(str(tmp_path / "out.avi")) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(25, abs=0.1)
    assert len(times(tmp_path / "out.avi")) == 12
    assert length(tmp_path / "out.avi") == pytest.approx(0.48, abs=0.05)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "flv", "mov"])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.93])
def test_a_recording_cut_off_is_redacted_as_far_as_it_goes_and_said_to_be(
    suffix: str, share: float, pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    pictures = [with_square(noise(160, 96, n), 10 + 2 * n, 40) for n in range(50)]
    codec = "libvpx" if suffix == "webm" else "libx264"
    options = {"movflags": "faststart"} if suffix == "mov" else {}
    make(
        source,
        pictures,
        codec=codec,
        options=options,
        unit=Fraction(1, 25) if suffix == "avi" else Fraction(1, 1000),
    )
    assert run(source, tmp_path / f"whole.{suffix}", "--pace", pace) == 0, "nothing is lost of the whole one"
    data = source.read_bytes()
    source.write_bytes(data[: int(share * len(data))])
    assert run(source, target, "--pace", pace, "--json") == 32
    out, err = capsys.readouterr()
    assert 10 < len(times(target)) < 50
    assert source.name in err
    assert "copy it again" in err
    told = json.loads(out.splitlines()[-1])
    assert source.name in told["incomplete"]
    assert told["redacted"] == [source.name]
    with av.open(str(target)) as container:
        for frame in container.decode(video=0):
            assert frame.to_ndarray(format="bgr24").min(axis=2).max() < 240


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "avi"])
def test_a_scratch_in_the_middle_costs_what_lay_there_and_no_more(
    suffix: str, pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    make(source, [noise(160, 96, n) for n in range(50)], unit=Fraction(1, 25))
    data = bytearray(source.read_bytes())
    at = len(data) // 3
    data[at : at + 6000] = bytes(6000)
    source.write_bytes(data)
    status = run(source, target, "--pace", pace)
    assert status in (0, 32), capsys.readouterr().err
    assert len(times(target)) >= 30
    assert times(target)[-1] == pytest.approx(times(source)[-1], abs=0.05)


@pytest.mark.parametrize("pace", PACES)
def test_pictures_that_the_decoder_would_make_up_are_left_out_and_told_of(
    pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make(source, [noise(160, 96, n) for n in range(50)])
    with av.open(str(source)) as container:
        there, size = [(packet.pos, packet.size) for packet in container.demux(video=0)][25]
    data = bytearray(source.read_bytes())
    data[there + size // 2 : there + size // 2 + 64] = bytes(64)
    source.write_bytes(data)
    assert run(source, target, "--pace", pace) == 32
    assert f"{source}: 1 places could not be decoded" in capsys.readouterr().err
    assert times(target) == [round(0.04 * n, 3) for n in range(50) if not 25 <= n < 30]


def test_sound_that_is_longer_than_the_film_is_no_loss(tmp_path: Path, run: Run) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        audio = container.add_stream("aac", rate=48_000)
        for n, picture in enumerate(film()):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for n in range(150):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.rate, silence.pts, silence.time_base = 48_000, 1024 * n, Fraction(1, 48_000)
            container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    assert run(tmp_path / "in.mkv", tmp_path / "out.mkv") == 0
    assert len(times(tmp_path / "out.mkv")) == 12
