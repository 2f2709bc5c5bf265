"""What scripts/image pi is made of, as far as that can be read; hil/test_pi_image.py looks at a built one."""

from pathlib import Path

import pytest

from firmware.config.profile import find_profile, load_profile

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "scripts" / "images"
BOARDS = sorted((IMAGES / "pi" / "boards").glob("*.toml"))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_of_the_image_is_the_shipped_one_with_what_its_kernel_has(path: Path) -> None:
    mine, shipped = load_profile(path), find_profile(path.stem.removesuffix("-usb"))
    assert mine.name == path.stem
    assert mine.boot == "uboot"
    assert shipped.boot == "directory", "an installation on Raspberry Pi OS has no slots"
    assert (mine.camera.driver, mine.encoder.driver) == ("v4l2", "x264")
    assert mine.detectors == shipped.detectors
    assert mine.look == shipped.look
    assert set(mine.compatible) & set(shipped.compatible)
