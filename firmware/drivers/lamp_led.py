"""A lamp that Linux knows as an LED (/sys/class/leds): a board's own, or one on a GPIO by its device tree."""

from pathlib import Path

from firmware.config.drivers import LedOptions
from firmware.errors import DriverUnavailable

LEDS = Path("/sys/class/leds")


class LedLamp:
    """One LED; whatever the kernel had it show (the card's activity, say) ends with the first word."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._brightest = (folder / "max_brightness").read_text(encoding="ascii").strip()
        self.show(lit=False)

    def show(self, *, lit: bool) -> None:
        """Light it or put it out; raises OSError where it does not obey."""
        (self._folder / "trigger").write_text("none", encoding="ascii")
        (self._folder / "brightness").write_text(self._brightest if lit else "0", encoding="ascii")


def open_lamp(options: LedOptions, leds: Path = LEDS) -> LedLamp:
    """Return the lamp, put out; raises DriverUnavailable where this machine has none of that name."""
    try:
        return LedLamp(leds / options.led)
    except OSError as exc:
        there = ", ".join(sorted(path.name for path in leds.glob("*"))) or "none"
        raise DriverUnavailable(
            f"lamp {options.led!r}: {exc.strerror}; LEDs of this machine: {there}; correct the board's [lamp]"
        ) from exc
