"""What scripts/image pi is made of, as far as that can be read; hil/test_pi_image.py looks at a built one."""

import subprocess
from pathlib import Path

import pytest

from firmware.config.profile import find_profile, load_profile

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "scripts" / "images"
BOARDS = sorted((IMAGES / "pi" / "boards").glob("*.toml"))


def slot(folder: Path, line: str, partition: bytes | None) -> str:
    """Return the slot that the initial RAM disk's script takes."""
    told = folder / "tree" / "chosen" / "bootloader"
    told.mkdir(parents=True)
    if partition is not None:
        (told / "partition").write_bytes(partition)
    (folder / "line").write_text(line)
    done = subprocess.run(
        ["sh", IMAGES / "slot", folder / "line", folder / "tree"],
        env={"PATH": "/usr/bin:/bin", "BUSYBOX": ""},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("line", "partition", "taken"),
    [
        ("console=tty0 quiet\n", (2).to_bytes(4), "a"),
        ("console=tty0 quiet\n", (3).to_bytes(4), "b"),
        ("veilcam.slot=b quiet\n", (2).to_bytes(4), "b"),
        ("quiet veilcam.slot=a\n", (3).to_bytes(4), "a"),
        ("quiet\n", (0).to_bytes(4), "a"),
        ("quiet\n", None, "a"),
        ("quiet\n", b"\x03", "a"),
    ],
)
def test_the_slot_is_the_command_lines_else_the_bootloaders(
    line: str, partition: bytes | None, taken: str, tmp_path: Path
) -> None:
    assert slot(tmp_path, line, partition) == taken


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_of_the_image_is_the_shipped_one_with_what_its_kernel_has(path: Path) -> None:
    mine, shipped = load_profile(path), find_profile(path.stem.removesuffix("-usb"))
    assert mine.name == path.stem
    assert mine.boot == "tryboot"
    assert shipped.boot == "directory", "an installation on Raspberry Pi OS has no slots"
    assert (mine.camera.driver, mine.encoder.driver) == ("v4l2", "x264")
    assert mine.detectors == shipped.detectors
    assert mine.look == shipped.look
    assert set(mine.compatible) & set(shipped.compatible)
