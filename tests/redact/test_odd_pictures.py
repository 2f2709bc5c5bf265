"""Pictures of every kind that people have: animated, of several pages, transparent, turned, deep, cut off."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.redact.conftest import BrightSquares, Run, background, painted, with_square
from tests.redact.odd import marked, noise

PACES = ["thorough", "realtime"]
ANIMATED = ["png", "webp", "gif", "avif"]
LENGTHS = [80, 200, 440]


def images(count: int = 3) -> list[Image.Image]:
    """Pictures with a square that moves."""
    pictures = [with_square(background(96, 80, 9 * n), 8 + 10 * n, 30) for n in range(count)]
    return [Image.fromarray(picture[..., ::-1]) for picture in pictures]


def animate(path: Path, shown: list[Image.Image]) -> Path:
    how = {"lossless": True} if path.suffix == ".webp" else {}
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=LENGTHS[: len(shown)], loop=0, **how)
    return path


def read(path: Path) -> list[tuple[np.ndarray, int]]:
    """Return every picture of a file (h, w, 3), and how long each is shown in milliseconds."""
    found = []
    with Image.open(path) as image:
        for n in range(getattr(image, "n_frames", 1)):
            image.seek(n)
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            found.append((pixels, round(image.info.get("duration", 0))))
    return found


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("suffix", ANIMATED)
def test_every_picture_of_an_animation_is_redacted(suffix: str, pace: str, tmp_path: Path, run: Run) -> None:
    animate(tmp_path / f"in.{suffix}", images())
    out = tmp_path / f"out.{suffix}"
    assert run(tmp_path / f"in.{suffix}", out, "--pace", pace, "--regions", tmp_path / "r.json") == 0
    after = read(out)
    assert [length for _, length in after] == LENGTHS
    regions = json.loads((tmp_path / "r.json").read_text())[f"in.{suffix}"]
    assert list(regions) == ["0", "1", "2"]
    for n, (pixels, _) in enumerate(after):
        assert painted(regions[str(n)], 80, 96)[30:54, 8 + 10 * n : 32 + 10 * n].all()
        assert pixels.min(axis=2).max() < 225
        before = np.asarray(images()[n])
        outside = ~painted(regions[str(n)], 80, 96)
        if outside.any():
            assert np.abs(pixels[outside].astype(int) - before[outside]).mean() < 20


@pytest.mark.parametrize("pace", PACES)
def test_every_page_of_a_tiff_is_redacted(pace: str, tmp_path: Path, run: Run) -> None:
    pages = images(4)
    pages[0].save(tmp_path / "in.tiff", save_all=True, append_images=pages[1:])
    assert run(tmp_path / "in.tiff", tmp_path / "out.tiff", "--pace", pace) == 0
    after = read(tmp_path / "out.tiff")
    assert len(after) == 4
    assert max(pixels.min(axis=2).max() for pixels, _ in after) < 225


@pytest.mark.parametrize("suffix", ["tif", "gif", "avif", "jfif", "bmp", "webp"])
def test_every_kind_of_picture_is_redacted(suffix: str, tmp_path: Path, run: Run) -> None:
    images()[0].save(tmp_path / f"in.{suffix}", "JPEG" if suffix == "jfif" else None)
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    assert read(tmp_path / f"out.{suffix}")[0][0].min(axis=2).max() < 225


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(suffix, "RGBA") for suffix in ("png", "webp", "tiff", "gif", "avif")]
    + [("png", "LA"), ("webp", "LA"), ("tiff", "LA"), ("png", "P"), ("gif", "P")],
)
def test_what_is_transparent_stays_hidden(
    suffix: str, mode: str, tmp_path: Path, run: Run, squares: BrightSquares
) -> None:
    squares.__init__(lambda look: True)  # type: ignore[misc]
    rgba = np.dstack([marked()[..., ::-1], np.full((96, 160), 255, np.uint8)])
    rgba[40:80, 60:120] = (200, 10, 10, 0)
    image = Image.fromarray(rgba)
    if mode == "P":
        image = image.convert("RGB").quantize(16)
        image.info["transparency"] = image.getpixel((90, 60))
    elif mode == "LA":
        image = image.convert("LA")
    image.save(tmp_path / f"in.{suffix}")
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    after = read(tmp_path / f"out.{suffix}")[0][0]
    assert after[46:74, 66:114].min() > 240
    assert after[90, 150].max() < 200, "the rest is as it was"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_picture_comes_out_upright(orientation: int, suffix: str, tmp_path: Path, run: Run) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(marked()[..., ::-1]).save(tmp_path / f"in.{suffix}", exif=exif)
    assert run(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}") == 0
    before, after = read(tmp_path / f"in.{suffix}")[0][0], read(tmp_path / f"out.{suffix}")[0][0]
    assert after.shape == before.shape
    assert np.abs(after.astype(int) - before).mean() < 6
    with Image.open(tmp_path / f"out.{suffix}") as image:
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ["png16", "tiff16", "tiff32f", "grey", "cmyk", "palette", "bit"])
def test_a_picture_of_any_depth_is_as_bright_as_it_was(kind: str, tmp_path: Path, run: Run) -> None:
    grey = np.tile(np.linspace(10, 190, 96).astype(np.uint8), (64, 1))
    path = tmp_path / ("in.png" if kind in ("png16", "grey", "palette", "bit") else "in.tiff")
    if kind.endswith("16"):
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "tiff32f":
        Image.fromarray(grey.astype(np.float32)).save(path)
        grey = (grey * (255 / 190.0)).astype(np.uint8)
    elif kind == "bit":
        grey = np.where(grey > 100, 255, 0).astype(np.uint8)
        Image.fromarray(grey).convert("1").save(path)
    else:
        image = Image.fromarray(grey)
        image = image.quantize(256) if kind == "palette" else image
        (image.convert("RGB").convert("CMYK") if kind == "cmyk" else image).save(path)
    assert run(path, path.with_stem("out"), "--regions", tmp_path / "r.json") == 0
    after = read(path.with_stem("out"))[0][0].astype(int)
    seen = ~painted(json.loads((tmp_path / "r.json").read_text())[path.name]["0"], 64, 96)
    assert np.abs(after[seen] - grey[..., None].repeat(3, 2)[seen]).mean() < 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tiff", "avif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_cut_off_is_named_and_not_written(
    suffix: str, share: float, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(noise(96, 80)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert run(path, tmp_path / f"out.{suffix}") == 32
    assert path.name in capsys.readouterr().err
    assert not (tmp_path / f"out.{suffix}").exists()


def test_an_animation_does_not_become_one_picture(tmp_path: Path, run: Run) -> None:
    animate(tmp_path / "in.gif", images())
    assert run(tmp_path / "in.gif", tmp_path / "out.jpg") == 60
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize("side", [30_000, 65_000])
def test_a_picture_that_claims_a_huge_size_is_refused_at_once(side: int, tmp_path: Path, run: Run) -> None:
    header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    sizes = (40).to_bytes(4, "little") + side.to_bytes(4, "little") * 2
    (tmp_path / "in.bmp").write_bytes(header + sizes + b"\x01\0\x18\0" + bytes(24))
    assert run(tmp_path / "in.bmp", tmp_path / "out.bmp") == 32


@pytest.mark.parametrize("letter", ["a", "é", "人", "😀"])
def test_a_name_may_be_as_long_as_a_name_can_be(letter: str, tmp_path: Path, run: Run) -> None:
    name = letter * (251 // len(letter.encode())) + ".png"
    assert 252 <= len(os.fsencode(name)) <= 255
    folder = tmp_path / "in"
    folder.mkdir()
    images()[0].save(folder / name)
    images()[0].save(folder / "z.png")
    assert run(folder, tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {name, "z.png"}
