"""`veilcam redact` on pictures: what is hidden, what stays, what is told, what is left out."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from firmware.pipeline.mask import Fill
from firmware.redact.picture import Picture
from tests.redact.conftest import Run, background, command, painted, with_square

FILL = Fill()


def write_picture(path: Path, width: int = 160, height: int = 120, x: int = 60, y: int = 40) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = with_square(background(width, height), x, y)
    assert cv2.imwrite(str(path), bgr)
    return bgr


def fill_bgr() -> np.ndarray:
    one = np.array([[FILL.y] * 2] * 2 + [[FILL.u, FILL.v]], np.uint8)
    return cv2.cvtColor(one.reshape(3, 2), cv2.COLOR_YUV2BGR_I420)[0, 0].astype(int)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "PNG"])
@pytest.mark.parametrize("size", [(160, 120), (161, 119)])
def test_hidden_is_fill_and_the_rest_is_as_it_was(
    suffix: str, size: tuple[int, int], tmp_path: Path, run: Run
) -> None:
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    write_picture(source, *size)
    before = cv2.imread(str(source))
    assert run(source, target, "--regions", tmp_path / "r.json") == 0
    after = cv2.imread(str(target))
    assert after.shape == before.shape
    told = json.loads((tmp_path / "r.json").read_text())
    assert list(told) == [source.name]
    hidden = painted(told[source.name]["0"], size[1], size[0])
    assert hidden[40:64, 60:84].all()
    inside = cv2.erode(hidden.astype(np.uint8), np.ones((17, 17))) > 0
    outside = cv2.dilate(hidden.astype(np.uint8), np.ones((17, 17))) == 0
    tolerance = 2 if suffix.lower() in ("png", "bmp") else 6
    assert np.abs(after[inside].astype(int) - fill_bgr()).max() <= tolerance
    assert np.abs(after[outside].astype(int) - before[outside]).mean() < 2.5
    if tolerance == 2:
        np.testing.assert_array_equal(
            (np.abs(after.astype(int) - fill_bgr()).max(axis=2) <= 2) & hidden, hidden
        )


def test_a_single_picture_is_decoded_once(tmp_path: Path) -> None:
    write_picture(tmp_path / "in.jpg")
    picture = Picture(tmp_path / "in.jpg")
    (first,), (second,) = picture.frames(), picture.frames()
    assert np.shares_memory(first.planes.y, second.planes.y)


def test_a_square_at_the_odd_edge_is_hidden_to_the_last_pixel(tmp_path: Path, run: Run) -> None:
    write_picture(tmp_path / "in.png", 161, 119, x=137, y=95)
    assert run(tmp_path / "in.png", tmp_path / "out.png") == 0
    after = cv2.imread(str(tmp_path / "out.png")).astype(int)
    assert np.abs(after[95:, 137:] - fill_bgr()).max() <= 2


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Put an EXIF block with an orientation and a maker's name into a JPEG."""
    maker = b"SecretCamera\0"
    tiff = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 2)
    tiff += struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff += struct.pack(">HHII", 0x010F, 2, len(maker), 38)
    tiff += struct.pack(">I", 0) + maker
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def test_orientation_is_applied_and_exif_is_left_out(tmp_path: Path, run: Run) -> None:
    _, jpeg = cv2.imencode(".jpg", with_square(background(160, 120), 10, 90), [cv2.IMWRITE_JPEG_QUALITY, 98])
    source = tmp_path / "in.jpg"
    source.write_bytes(with_exif(jpeg.tobytes(), 6))
    turned = cv2.imread(str(source))
    assert turned.shape[:2] == (160, 120)
    assert run(source, tmp_path / "out.jpg", "--regions", tmp_path / "r.json") == 0
    data = (tmp_path / "out.jpg").read_bytes()
    assert b"Exif" not in data
    assert b"SecretCamera" not in data
    bright = np.argwhere(turned.min(axis=2) > 225)
    hidden = painted(json.loads((tmp_path / "r.json").read_text())["in.jpg"]["0"], 160, 120)
    assert hidden[tuple(bright.T)].all()
    assert cv2.imread(str(tmp_path / "out.jpg")).shape == turned.shape


def test_the_public_picture_does_not_depend_on_who_is_hidden(tmp_path: Path, run: Run) -> None:
    bgr = write_picture(tmp_path / "a" / "in.png")
    bgr[44:60, 64:80] = 235
    cv2.imwrite(str(tmp_path / "b.png"), bgr)
    assert run(tmp_path / "a" / "in.png", tmp_path / "oa.png") == 0
    assert run(tmp_path / "b.png", tmp_path / "ob.png") == 0
    assert (tmp_path / "oa.png").read_bytes() == (tmp_path / "ob.png").read_bytes()


def test_folder_keeps_names_skips_others_and_goes_on_after_a_broken_one(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    write_picture(folder / "a.png")
    write_picture(folder / "deep" / "er" / "b.jpg")
    (folder / "broken.png").write_bytes(b"not a picture")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("who was there")
    assert run(folder, tmp_path / "out", "--json", "--regions", tmp_path / "r.json") == 32
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.png", "deep/er/b.jpg"]
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["redacted"] == ["a.png", "deep/er/b.jpg"]
    assert told["skipped"] == 1
    assert sorted(told["failed"]) == ["broken.png", "empty.jpg"]
    assert "broken.png" in err
    assert sorted(json.loads((tmp_path / "r.json").read_text())) == ["a.png", "deep/er/b.jpg"]


def test_realtime_pace_hides_pictures_too(tmp_path: Path, run: Run) -> None:
    write_picture(tmp_path / "in.png")
    assert run(tmp_path / "in.png", tmp_path / "out.png", "--pace", "realtime") == 0
    after = cv2.imread(str(tmp_path / "out.png")).astype(int)
    assert np.abs(after[40:64, 60:84] - fill_bgr()).max() <= 2


@pytest.mark.parametrize("name", ["missing.png", "missing"])
def test_nothing_there_is_31(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path / name, tmp_path / "out.png") == 31
    assert name in capsys.readouterr().err


def test_wrong_use_is_2_and_writes_nothing(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    write_picture(folder / "a.png")
    (folder / "notes.txt").write_text("x")
    before = (folder / "a.png").read_bytes()
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch()
    for source, target in [
        (folder, folder),
        (folder, tmp_path / "link"),
        (folder, folder / "out"),
        (folder, tmp_path / "file"),
        (folder / "a.png", folder / "a.png"),
        (folder / "a.png", folder),
        (folder / "a.png", tmp_path / "link" / "a.png"),
        (folder / "a.png", tmp_path / "out.mp4"),
        (folder / "a.png", tmp_path / "out.xyz"),
        (folder / "notes.txt", tmp_path / "out.txt"),
    ]:
        assert run(source, target) == 2, (source, target)
    assert run(folder / "a.png", tmp_path / "o.png", "--regions", folder / "a.png") == 2
    assert run(folder / "a.png", tmp_path / "o.png", "--threads", "0") == 2
    assert run(folder / "a.png", tmp_path / "o.png", "--policy", "nobody") == 2
    assert (folder / "a.png").read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "o.png").exists()


def test_output_that_cannot_be_written_is_60(tmp_path: Path, run: Run) -> None:
    write_picture(tmp_path / "in.png")
    (tmp_path / "file").touch()
    # A file where a folder should be refuses everybody, root included.
    assert run(tmp_path / "in.png", tmp_path / "file" / "out.png") == 60
    assert run(tmp_path / "in.png", tmp_path / "out.png", "--regions", tmp_path / "file" / "r.json") == 60


def test_no_part_is_left_behind_after_a_failure(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "in.png")

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    assert run(tmp_path / "in.png", tmp_path / "out.png") == 60
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_a_picture_of_nobody_stays_as_it_is(tmp_path: Path, run: Run) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), background(64, 48))
    assert run(tmp_path / "in.png", tmp_path / "out.png", "--regions", tmp_path / "r.json") == 0
    assert json.loads((tmp_path / "r.json").read_text()) == {"in.png": {"0": []}}


def test_grey_and_transparent_and_deep_pictures_are_read(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bgr = with_square(background(64, 48), 20, 12)
    cv2.imwrite(str(folder / "grey.png"), bgr[:, :, 0])
    cv2.imwrite(str(folder / "clear.png"), np.dstack([bgr, np.full((48, 64), 128, np.uint8)]))
    cv2.imwrite(str(folder / "deep.png"), bgr.astype(np.uint16) * 257)
    assert run(folder, tmp_path / "out") == 0
    for path in (tmp_path / "out").iterdir():
        after = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert after.dtype == np.uint8
        assert after.shape == (48, 64, 3)
        assert np.abs(after[12:36, 20:44].astype(int) - fill_bgr()).max() <= 2
