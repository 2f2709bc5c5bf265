"""The lamp that says that somebody sees the raw picture. What is not proved here: that light comes out."""

from pathlib import Path

import pytest

from firmware.config.drivers import LedOptions
from firmware.drivers.lamp_led import open_lamp
from firmware.errors import DriverUnavailable


@pytest.fixture
def leds(tmp_path: Path) -> Path:
    """What the kernel shows of two LEDs."""
    for name in ("ACT", "raw-seen"):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in (("max_brightness", "255\n"), ("brightness", "7\n"), ("trigger", "[mmc0] none")):
            (folder / file).write_text(text)
    return tmp_path


def test_it_is_put_out_lit_and_put_out(leds: Path) -> None:
    lamp = open_lamp(LedOptions(driver="led", led="raw-seen"), leds)
    seen = [(leds / "raw-seen" / "brightness").read_text()]
    for lit in (True, False):
        lamp.show(lit=lit)
        seen.append((leds / "raw-seen" / "brightness").read_text())
    assert seen == ["0", "255", "0"]
    assert (leds / "raw-seen" / "trigger").read_text() == "none"
    assert (leds / "ACT" / "brightness").read_text() == "7\n"


def test_one_that_is_not_there_is_told_with_those_that_are(leds: Path) -> None:
    with pytest.raises(DriverUnavailable, match="LEDs of this machine: ACT, raw-seen"):
        open_lamp(LedOptions(driver="led", led="gone"), leds)
