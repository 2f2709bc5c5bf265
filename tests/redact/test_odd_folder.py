"""A folder as people have them: nothing in it ends the work, and what is not redacted is named, with why."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from tests.redact.conftest import Run, background, with_square
from tests.redact.odd import film, make, marked, noise, several
from tests.redact.test_odd_pictures import animate, images

PACES = ["thorough", "realtime"]
FLIP = (1 << 16, 0, 0, 0, -(1 << 16), 0, 0, 0, 1 << 30)
COVER = int(Disposition.attached_pic)


def good(folder: Path) -> list[str]:
    """Make files that come out whole; returns their names."""
    square = Image.fromarray(with_square(background(96, 80), 8, 30)[..., ::-1])
    kinds = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "gif", "avif", "JPG")
    names = [f"{n:02}-picture.{suffix}" for n, suffix in enumerate(kinds)]
    for name in names:
        square.save(folder / name)
    for suffix in ("png", "webp", "gif"):
        animate(folder / f"10-moves.{suffix}", images())
    images()[0].save(folder / "11-pages.tiff", save_all=True, append_images=images()[1:])
    (folder / "deep" / "er").mkdir(parents=True)
    square.save(folder / "deep" / "er" / "20.png")
    square.save(folder / f"{'人' * 83}.png")
    make(folder / "30-selfie.mp4", film(), matrix=FLIP)
    make(folder / "31-wide.mp4", film(), aspect=Fraction(64, 45))
    make(folder / "32-fields.ts", film(), fields="tff")
    make(folder / "33-bright.webm", film(), codec="libvpx-vp9", full_range=True)
    make(folder / "34-late.mkv", film(), stamps_ms=[3_600_000 + 40 * n for n in range(12)])
    make(folder / "35-phone.3gp", film())
    make(folder / "36-camcorder.mts", film())
    several(folder / "37-covered.mkv", [([noise(64, 64)], "mjpeg", COVER), (film(), "libx264", 1)])
    several(folder / "38-dash.mp4", [(film(), "libx264", 0), (film(9, 128, 80), "libx264", 0)])
    tops = [path.name for path in folder.iterdir() if path.is_file()]
    return sorted([*tops, "deep/er/20.png", "38-dash.stream-1.mp4"])


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def bad(folder: Path) -> dict[str, str]:
    """Make what is not redacted, and what is redacted in part; returns a word of each one's reason."""
    (folder / "05-empty.jpg").touch()
    (folder / "06-lies.png").write_bytes(b"not a picture")
    Image.fromarray(noise(96, 80)).save(folder / "07-half.jpg")
    cut(folder / "07-half.jpg", 0.5)
    (folder / "12-phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "13-raw.dng").write_bytes(b"II*\0" + bytes(100))
    (folder / "14-notes.txt").write_text("who was there")
    (folder / "15-no-suffix").write_text("x")
    (folder / "39-sound.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(16))
    (folder / "40-old.wmv").write_bytes(bytes(100))
    with av.open(str(folder / "41-dot.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 1
        stream.pix_fmt = "yuv444p"
        container.mux(stream.encode(av.VideoFrame(1, 1, "yuv444p")))
        container.mux(stream.encode(None))
    make(folder / "42-cut.mkv", [noise(160, 96, n) for n in range(50)])
    cut(folder / "42-cut.mkv", 0.6)
    make(folder / "43-cut.webm", [noise(160, 96, n) for n in range(50)], codec="libvpx")
    cut(folder / "43-cut.webm", 0.6)
    make(folder / "44-no-index.mp4", film())
    cut(folder / "44-no-index.mp4", 0.6)
    (folder / "50-broken-link.png").symlink_to("nowhere.png")
    (folder / "51-linked").symlink_to(folder / "deep")
    os.mkfifo(folder / "52-pipe.mp4")
    return {
        "05-empty.jpg": "picture",
        "06-lies.png": "picture",
        "07-half.jpg": "decoded",
        "12-phone.heic": "convert",
        "13-raw.dng": "develop",
        "14-notes.txt": "neither",
        "15-no-suffix": "neither",
        "39-sound.mp4": "copy",
        "40-old.wmv": "convert",
        "41-dot.mkv": "16x16",
        "42-cut.mkv": "breaks off",
        "43-cut.webm": "breaks off",
        "44-no-index.mp4": "copy",
        "50-broken-link.png": "link",
        "51-linked/": "link",
        "52-pipe.mp4": "pipe",
    }


@pytest.mark.parametrize("pace", PACES)
def test_forty_files(pace: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    whole, others = good(folder), bad(folder)
    assert len(whole) + len(others) >= 40
    assert run(folder, out, "--pace", pace, "--json", "--regions", tmp_path / "r.json") == 32
    said, err = capsys.readouterr()
    told = json.loads(said)
    part = {"42-cut.mkv", "43-cut.webm"}
    assert told["redacted"] == sorted({*whole, *part})
    assert set(told["incomplete"]) == part
    assert {*told["failed"], *told["left_out"]} == set(others) - part
    assert told["skipped"] == len(told["left_out"])
    for name, word in others.items():
        lines = [line for line in err.splitlines() if str(folder / name.rstrip("/")) in line]
        assert len(lines) == 1, (name, lines)
        assert word in lines[0], (name, lines)
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert made == {*whole, *part}
    assert set(json.loads((tmp_path / "r.json").read_text())) == made
    assert "Traceback" not in err


def test_the_summary_counts_each_file_once(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad(folder)
    Image.fromarray(marked()).save(folder / "a.png")
    assert run(folder, tmp_path / "out") == 32
    summary = capsys.readouterr().out
    assert re.match(r"redacted 3 files, \d+ frames; 2 of them not whole; 6 failed; 8 left out\n", summary), (
        summary
    )


def test_a_folder_of_good_ones_ends_with_0(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good(folder)
    assert run(folder, tmp_path / "out") == 0


@pytest.mark.parametrize("suffix", ["txt", "json", "xml", ""])
def test_what_is_no_media_is_named_and_no_failure(
    suffix: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(marked()).save(folder / "a.png")
    other = folder / f"a.{suffix}".rstrip(".")
    other.write_text("{}")
    assert run(folder, tmp_path / "out") == 0
    assert f"{other}: neither a picture nor a clip" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.wmv", "a.heic", "a.cr2", "a.vob"])
def test_media_of_a_kind_that_is_not_read_are_a_failure(name: str, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(marked()).save(folder / "a.png")
    (folder / name).write_text("x")
    assert run(folder, tmp_path / "out") == 32


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "mp4", "mkv", "avi", "flv"]
)
def test_media_under_another_name_are_a_failure(
    kind: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(marked()).save(folder / "a.png")
    if kind.isupper():
        Image.fromarray(marked()).save(folder / "b.part", kind)
    else:
        make(tmp_path / f"b.{kind}", film(2), unit=Fraction(1, 25)).rename(folder / "b.part")
    assert run(folder, tmp_path / "out") == 32
    assert "b.part: a picture or a clip under another" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root is refused nothing: the refusal is made here, and the walk is the real one."""
    closed = tmp_path / "in" / "closed"
    closed.mkdir(parents=True)
    Image.fromarray(marked()).save(tmp_path / "in" / "a.png")
    listed: Callable[..., object] = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert run(tmp_path / "in", tmp_path / "out") == 32
    assert "in/closed: a folder that may not be read: Permission denied" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").exists()


def test_a_full_disk_ends_the_work_with_one_line(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(marked()).save(folder / f"{name}.png")

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    assert run(folder, tmp_path / "out") == 60
    assert capsys.readouterr().err.count("No space left") == 1
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.models
def test_a_terminal_shows_a_bar_and_what_was_left_out(tmp_path: Path) -> None:
    """The real command with the real detectors, on a terminal."""
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((64, 96, 3), 90, np.uint8))
    make(folder / "b.mp4", film(8))
    (folder / "c.txt").write_text("x")
    command = [
        sys.executable,
        "-m",
        "firmware",
        "redact",
        str(folder),
        str(tmp_path / "out"),
        "--pace",
        "realtime",
    ]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
        assert process.wait(60) == 0
    os.close(ours)
    assert b"b.mp4" in said
    assert "█".encode() in said
    assert b"c.txt: neither" in said


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that nobody holds the other end any more
        return b""
