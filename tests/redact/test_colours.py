"""A picture with a colour profile comes out in the colours that it was shown in, and without the profile."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.redact.conftest import Run

# Primaries of Display P3 and of sRGB as profiles hold them, adapted to D50.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
GAMMA = 2.2
SHOWN = (200, 100, 80)


def profile() -> bytes:
    """Return a profile of the wide colours (ICC.1, version 2) that names whose phone it is of."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    name = b"Secret Phone\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(GAMMA * 256))
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(79),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249])),
        **{letter + b"XYZ": xyz(P3[:, n]) for n, letter in enumerate((b"r", b"g", b"b"))},
        **{letter + b"TRC": curve for letter in (b"r", b"g", b"b")},
    }
    at, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytes(8) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return struct.pack(">I", 128 + len(table + body)) + head[4:] + table + body


def in_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    """Return a colour of the wide ones as sRGB has it (IEC 61966-2-1)."""
    light = np.linalg.inv(SRGB) @ P3 @ (np.array(colour) / 255) ** GAMMA
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


STORED = [
    *((suffix, "RGB") for suffix in ("jpg", "png", "tiff", "webp", "avif")),
    *((suffix, "RGBA") for suffix in ("png", "tiff", "webp", "avif")),
    *((suffix, "P") for suffix in ("png", "tiff")),
]


@pytest.mark.parametrize(("suffix", "mode"), STORED)
def test_wide_colours_stay_and_their_profile_goes(suffix: str, mode: str, tmp_path: Path, run: Run) -> None:
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    Image.new("RGB", (64, 48), SHOWN).convert(mode).save(source, icc_profile=profile())
    with Image.open(source) as image:
        assert "icc_profile" in image.info
        stored = np.asarray(image.convert("RGB"))[20, 20]
    assert run(source, target) == 0
    assert b"Secret Phone" not in target.read_bytes()
    with Image.open(target) as image:
        assert "icc_profile" not in image.info
        shown = np.asarray(image.convert("RGB"), float)[20, 20]
    assert np.abs(shown - in_srgb(tuple(stored))).max() < 5
    assert np.abs(shown - stored).max() > 9, "the test would see that nothing was done"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("content", [b"no profile", profile()[:200], bytes(128)])
def test_a_profile_that_is_none_or_of_another_kind_changes_nothing(
    mode: str, content: bytes, tmp_path: Path, run: Run
) -> None:
    for name, kept in (
        ("with", content),
        ("wrong", profile() if mode != "RGB" else content),
        ("without", b""),
    ):
        picture = Image.new("RGB", (64, 48), SHOWN).convert(mode)
        picture.save(tmp_path / f"{name}.tiff", icc_profile=kept)
        assert run(tmp_path / f"{name}.tiff", tmp_path / f"{name}-out.tiff") == 0
    plain = Image.open(tmp_path / "without-out.tiff").tobytes()
    assert Image.open(tmp_path / "with-out.tiff").tobytes() == plain
    assert Image.open(tmp_path / "wrong-out.tiff").tobytes() == plain
