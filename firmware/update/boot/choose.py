"""Opens the boot control that a board's profile names.

Where the parts of a machine with two slots lie is settled by the image that was flashed for it:

    tryboot      GPT labels boot_a, boot_b (partitions 2 and 3), root_a, root_b; autoboot.txt on partition 1,
                 which is mounted on /boot/autoboot. boot_a and boot_b hold a FAT with the kernel; its
                 config.txt picks the root by [boot_partition=N], so that the same images fit both slots.
    uboot        the same labels, given by udev where the table is an MBR (scripts/images/pi.cfg); bootstate
                 holds what U-Boot reads.
    nvbootctrl   GPT labels APP and APP_b, as NVIDIA's flash tools make them with ROOTFS_AB=1; the kernel is
                 in the root.
    rauc         RAUC's own system.conf.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from firmware.errors import UpdateError
from firmware.update.boot.directory import DirectorySlots
from firmware.update.boot.machine import MachineSlots, Switch
from firmware.update.boot.nvbootctrl import EFIVARS, Nvbootctrl
from firmware.update.boot.partition import Partitions
from firmware.update.boot.port import BootControl
from firmware.update.boot.tryboot import AUTOBOOT, BOOTLOADER, Tryboot
from firmware.update.boot.uboot import Uboot

SLOTS = "slots"
DIRECTORY = "directory"
LABELS = Path("/dev/disk/by-partlabel")


def _tryboot(folder: Path) -> BootControl:
    return _partitioned(folder, Tryboot(AUTOBOOT, BOOTLOADER, {"a": 2, "b": 3}))


def _uboot(folder: Path) -> BootControl:
    return _partitioned(folder, Uboot())


def _partitioned(folder: Path, switch: Switch) -> BootControl:
    parts = {slot: {f"{kind}.img": _device(f"{kind}_{slot}") for kind in ("boot", "root")} for slot in "ab"}
    return MachineSlots(folder, switch, Partitions(parts, switch.booted))


def _nvbootctrl(folder: Path) -> BootControl:
    switch = Nvbootctrl(EFIVARS)
    parts = {slot: {"root.img": _device(label)} for slot, label in (("a", "APP"), ("b", "APP_b"))}
    return MachineSlots(folder, switch, Partitions(parts, switch.booted))


def _rauc(folder: Path) -> BootControl:
    # Its package is for boards that have RAUC.
    from firmware.update.boot.rauc import Rauc  # noqa: PLC0415

    rauc = Rauc()
    return MachineSlots(folder, rauc, rauc)


def _device(label: str) -> Path:
    """Return the block device of a label; udev's own link is the one link that is followed."""
    return (LABELS / label).resolve()


CHOICES: Mapping[str, Callable[[Path], BootControl]] = MappingProxyType(
    {
        DIRECTORY: DirectorySlots,
        "tryboot": _tryboot,
        "uboot": _uboot,
        "nvbootctrl": _nvbootctrl,
        "rauc": _rauc,
    }
)


def open_slots(boot: str, state: Path) -> BootControl:
    """Open boot control by its name in a profile; raises UpdateError where it is not of this build."""
    if boot not in CHOICES:
        raise UpdateError(f"no boot control is called {boot!r}; choose one of {', '.join(CHOICES)}")
    return CHOICES[boot](state / SLOTS)
