"""The Jetson's UEFI: two roots, tried a few times each, by NVIDIA's nvbootctrl and variables of the firmware.

    nvbootctrl -t rootfs get-current-slot         0 is A, 1 is B; without -t rootfs the kernel's slot
    nvbootctrl -t rootfs set-active-boot-slot N   every start from now on takes N, while it has tries left
    nvbootctrl -t rootfs dump-slots-info          `slot: 1, retry_count: 3, status: normal`, a line each
    nvbootctrl verify                             what runs is good: it has all its tries again

Every start uses up a try, so what runs says at each start that it is good, unless it is on trial. NVIDIA's
own service does that whatever runs: an image for this has it disabled, else a root that hangs is tried for
ever. A slot whose tries are used up is marked (RootfsStatusSlotA or B is 0xFF) and the other one taken.
Nothing takes that mark away again: an update to a marked slot would switch to it and fall straight back. It
is taken away here when a verified image has just been written to that slot, by the write that NVIDIA
documents. With RootfsRedundancyLevel 0, as boards come, switching does nothing and says nothing, so that is
refused.

Sources: NVIDIA Jetson Linux Developer Guide r36.5, "Update and Redundancy" and "Root File System"; r38.2,
"UEFI Adaptation" (the variables, and setting them from a shell: 4 bytes of attributes, 07 00 00 00, then
the value); NVIDIA/edk2-nvidia, L4TLauncher/L4TRootfsValidation.c (the order of tries, and what redundancy 0
does). The tool has had no `mark-boot-successful` since 35.2.1, `verify` has its place.

Tests have a script in place of the tool, which keeps its state in files, and a folder in place of efivars.
They show what is asked for and how answers are read, not that the firmware does it; on Orin an operating
system cannot set RootfsRedundancyLevel, which is why there is no attempt to.
"""

import array
import contextlib
import fcntl
import os
import re
from collections.abc import Sequence
from pathlib import Path

from firmware.errors import UpdateError
from firmware.update.boot.command import restart_machine, told_by
from ota.errors import Code, UpdateRefused

EFIVARS = Path("/sys/firmware/efi/efivars")
VENDOR = "781e084c-a330-417c-b678-38e696380cb9"
"""NVIDIA's public variables."""
REDUNDANCY, STATUS = "RootfsRedundancyLevel", "RootfsStatusSlot"
NORMAL, UNBOOTABLE = 0, 0xFF
ATTRIBUTES = (7).to_bytes(4, "little")
"""Non-volatile, in boot services, at run time."""
SLOTS = {"0": "a", "1": "b"}
NUMBERS = {"a": "0", "b": "1"}
INSTALL_TOOLS = "install NVIDIA's nvidia-l4t-tools, and run this as root"
GET_FLAGS, SET_FLAGS, IMMUTABLE = 0x80086601, 0x40086602, 0x10
"""ioctls of Linux (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS) and the flag that efivarfs protects its files with."""
STATUS_LINE = re.compile(r"slot:\s*([01]),.*status:\s*(\w+)")


class Nvbootctrl:
    """Both roots of a Jetson."""

    def __init__(
        self,
        efivars: Path,
        tool: Sequence[str] = ("nvbootctrl",),
        reboot: Sequence[str] = (),
    ) -> None:
        self._efivars, self._tool, self._reboot = efivars, tool, reboot

    def require_able(self) -> None:
        """Refuse a board without redundant roots, and one whose kernel and root are of different slots."""
        if not self._variable(REDUNDANCY):
            raise UpdateRefused(
                Code.UNSUPPORTED,
                f"{REDUNDANCY} is 0 or missing: switching would do nothing; flash the board with ROOTFS_AB=1",
            )
        try:
            matched = self.matched()
        except UpdateError as exc:
            raise UpdateRefused(Code.UNSUPPORTED, str(exc)) from exc
        if not matched:
            raise UpdateRefused(
                Code.UNSUPPORTED,
                "kernel and root are of different slots; restart the machine, else flash it anew",
            )

    def booted(self) -> str:
        """Return the slot of the root that runs."""
        return self._slot("-t", "rootfs", "get-current-slot")

    def matched(self) -> bool:
        """Say whether the kernel's slot is the root's."""
        return self._slot("get-current-slot") == self.booted()

    def arm(self, slot: str) -> bool:
        """Take a mark of earlier failures from a slot, and have every start take it; returns that it does."""
        if self._variable(f"{STATUS}{slot.upper()}") == UNBOOTABLE:
            self._reset(slot)
        self._take(slot)
        status = self._status(slot)
        if status != "normal":
            raise UpdateError(
                f"slot {slot} is said to be {status or 'missing'}, and would not be taken; look at "
                "nvbootctrl -t rootfs dump-slots-info"
            )
        return True

    def keep(self, slot: str) -> None:
        """Have every start take a slot; what runs is good, and gets its tries back."""
        if slot == self.booted():
            self._ask("verify")
        self._take(slot)

    def mend(self, slot: str) -> None:
        """Give what runs its tries back, where it is no trial: each start uses one up, of a good root too."""
        if slot == self.booted():
            self._ask("verify")

    def restart(self, *, trial: bool) -> None:
        """Restart; which slot is taken was said before."""
        restart_machine("", self._reboot)

    def _take(self, slot: str) -> None:
        self._ask("-t", "rootfs", "set-active-boot-slot", NUMBERS[slot])

    def _status(self, slot: str) -> str | None:
        told = dict(STATUS_LINE.findall(self._ask("-t", "rootfs", "dump-slots-info")))
        return told.get(NUMBERS[slot])

    def _slot(self, *words: str) -> str:
        said = self._ask(*words)
        if said not in SLOTS:
            raise UpdateError(
                f"nvbootctrl {' '.join(words)} says {said[:40]!r} and not 0 or 1; {INSTALL_TOOLS}"
            )
        return SLOTS[said]

    def _ask(self, *words: str) -> str:
        return told_by([*self._tool, *words], INSTALL_TOOLS)

    def _file(self, name: str) -> Path:
        return self._efivars / f"{name}-{VENDOR}"

    def _variable(self, name: str) -> int | None:
        try:
            content = self._file(name).read_bytes()
        except OSError:
            return None
        return int.from_bytes(content[4:], "little") if len(content) == 8 else None

    def _reset(self, slot: str) -> None:
        path = self._file(f"{STATUS}{slot.upper()}")
        try:
            _unprotect(path)
            # One write: efivarfs takes each as a whole variable.
            handle = os.open(path, os.O_WRONLY)
            try:
                os.write(handle, ATTRIBUTES + NORMAL.to_bytes(4, "little"))
            finally:
                os.close(handle)
        except OSError as exc:
            raise UpdateError(
                f"{path}: {exc.strerror}; run this as root, with efivars mounted for writing"
            ) from exc
        if self._variable(f"{STATUS}{slot.upper()}") != NORMAL:
            raise UpdateError(
                f"{path} stays {UNBOOTABLE:#x}; set it in the UEFI shell: "
                f"setvar {path.name.partition('-')[0]} -guid {VENDOR} -nv -rt -bs =00000000"
            )


def _unprotect(path: Path) -> None:
    """Take the immutable flag from a file of efivarfs; other file systems have none."""
    handle = os.open(path, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, GET_FLAGS, flags, True)
            if flags[0] & IMMUTABLE:
                flags[0] &= ~IMMUTABLE
                fcntl.ioctl(handle, SET_FLAGS, flags, True)
    finally:
        os.close(handle)
