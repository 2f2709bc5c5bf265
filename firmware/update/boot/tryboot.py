"""The Raspberry Pi's bootloader: two boot partitions, and a flag that tries the other one once.

autoboot.txt on the first partition says which partition a start takes, and which one with the flag set,
which `reboot "0 tryboot"` sets for one start. /proc/device-tree/chosen/bootloader says what was booted:
`partition` and `tryboot`, and on a Pi 4 and 5 `build-timestamp`, the bootloader's own date; numbers of 32
bits, big-endian.

Sources: Raspberry Pi documentation, "autoboot.txt" (config_txt/autoboot.adoc: 512 bytes at most, the
example of an A/B update, partition 0 is the default) and "Device tree: /chosen/bootloader"
(configuration/device-tree.adoc); raspberrypi/rpi-eeprom pull requests 446 and 456: `tryboot_a_b` came as a
beta on 2022-10-18 and to everybody with the release of 2022-11-25; issue 575: bootloaders of the Pi 5
before May 2024 say partition 0, and with that nobody can tell what runs.

Who sets the flag is the kernel, Raspberry Pi's own: one without its patches (Debian's) restarts and leaves it
unset (rpi-eeprom issue 716), and an update would be given up untried. Theirs has /dev/vcio, and no other.

Tests have files in place of the device tree and of autoboot.txt, and a script in place of `reboot`. They
show what is asked for, not that a bootloader does it, nor what a FAT on a real card looks like after a
power cut.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from firmware.errors import UpdateError
from firmware.state import tidy, written
from firmware.update.boot.command import restart_machine
from firmware.update.boot.machine import OTHER
from ota.errors import Code, UpdateRefused

AUTOBOOT = Path("/boot/autoboot/autoboot.txt")
BOOTLOADER = Path("/proc/device-tree/chosen/bootloader")
MAILBOX = Path("/dev/vcio")
OLDEST = int(datetime(2022, 11, 25, tzinfo=UTC).timestamp())
UPDATE_EEPROM = "update the bootloader (sudo rpi-eeprom-update -a), restart, then install again"


class Tryboot:
    """Both boot partitions by their slots."""

    def __init__(
        self,
        autoboot: Path,
        bootloader: Path,
        numbers: Mapping[str, int],
        reboot: Sequence[str] = (),
        mailbox: Path = MAILBOX,
    ) -> None:
        self._autoboot, self._bootloader, self._mailbox = autoboot, bootloader, mailbox
        self._numbers, self._reboot = numbers, reboot

    def require_able(self) -> None:
        """Refuse a bootloader that does not know `tryboot_a_b`, and a machine that runs no default."""
        if not self._mailbox.exists():
            raise UpdateRefused(
                Code.UNSUPPORTED,
                f"this kernel cannot ask for a trial of the other slot: it has no {self._mailbox}, "
                "as Raspberry Pi's own kernel has; flash an image of the new version",
            )
        built = self._number("build-timestamp")
        if built is None or built < OLDEST:
            date = "unknown" if built is None else f"{datetime.fromtimestamp(built, UTC):%Y-%m-%d}"
            raise UpdateRefused(
                Code.UNSUPPORTED,
                f"the bootloader's date is {date}, and 2022-11-25 is needed; {UPDATE_EEPROM}",
            )
        try:
            here = self.booted()
        except UpdateError as exc:
            raise UpdateRefused(Code.UNSUPPORTED, str(exc)) from exc
        if self._read() != self._text(here):
            raise UpdateRefused(
                Code.UNSUPPORTED,
                f"{self._autoboot} does not name what runs, partition {self._numbers[here]}, as the default; "
                "restart the machine, then install again",
            )

    def booted(self) -> str:
        """Return the slot of the partition that was booted; raises UpdateError."""
        number = self._number("partition")
        for slot, mine in self._numbers.items():
            if mine == number:
                return slot
        raise UpdateError(
            f"the bootloader says that it booted partition {number}, and slots are {dict(self._numbers)}; "
            f"flash an image with two slots, or {UPDATE_EEPROM}"
        )

    def matched(self) -> bool:
        """Say yes: the root is named by the boot partition itself, so both are of one slot."""
        return True

    def arm(self, slot: str) -> bool:
        """Name the slot as the one to try; the flag itself is set by `restart`."""
        self.keep(OTHER[slot])
        return False

    def keep(self, slot: str) -> None:
        """Name a slot as the default, and the other one as the one to try."""
        if self._read() != self._text(slot):
            self._write(slot)

    def mend(self, slot: str) -> None:
        """Write autoboot.txt anew where it is missing or torn; a whole one stays whatever it says."""
        tidy(self._autoboot.parent)
        if self._read() not in (self._text("a"), self._text("b")):
            self._write(slot)

    def restart(self, *, trial: bool) -> None:
        """Restart, with the flag for one start where it is a trial."""
        restart_machine("0 tryboot" if trial else "", self._reboot)

    def _text(self, slot: str) -> str:
        default, other = self._numbers[slot], self._numbers[OTHER[slot]]
        return f"[all]\ntryboot_a_b=1\nboot_partition={default}\n[tryboot]\nboot_partition={other}\n"

    def _read(self) -> str:
        try:
            return self._autoboot.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""

    def _write(self, slot: str) -> None:
        # A new file, synced, takes the old one's place, and the folder is synced: a FAT has no journal, but a
        # rename writes the one sector of the name after the content is on the disk.
        with written(self._autoboot) as part:
            part.write_text(self._text(slot), encoding="ascii")

    def _number(self, name: str) -> int | None:
        try:
            content = (self._bootloader / name).read_bytes()
        except OSError:
            return None
        return int.from_bytes(content) if len(content) == 4 else None
