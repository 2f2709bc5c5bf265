"""A profile's word for boot control opens it."""

from pathlib import Path
from typing import get_args

import pytest

from firmware.config.profile import Boot, board_files, load_profile
from firmware.errors import UpdateError
from firmware.update.boot.choose import CHOICES, open_slots


def test_every_word_of_a_profile_is_known_and_no_other() -> None:
    assert set(get_args(Boot)) == set(CHOICES)
    with pytest.raises(UpdateError, match="choose one of directory, tryboot, uboot, nvbootctrl, rauc"):
        open_slots("grub", Path("/"))


@pytest.mark.parametrize("boot", CHOICES)
def test_opening_one_looks_at_no_board(boot: str, tmp_path: Path) -> None:
    slots = open_slots(boot, tmp_path)
    assert slots.folder == tmp_path / "slots"
    assert (slots.confirmed(), slots.failed(), slots.has("0" * 32)) == (None, None, False)


def test_no_shipped_board_needs_an_image_that_is_not_there_yet() -> None:
    boots = {load_profile(path).name: load_profile(path).boot for path in board_files()}
    assert {name for name, boot in boots.items() if boot != "directory"} == {"emulated-arm64"}
