"""The emulated machine without labgrid: boots a disk and waits for the camera's answer."""

import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from hil.bench import PORT, trusting
from hil.emulated.network import CAMERA

QEMU = (
    "qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 1 -icount shift=0,sleep=on -m 2G "
    "-display none -monitor none -bios /usr/lib/u-boot/qemu_arm64/u-boot.bin "
    "-device i6300esb -action watchdog=reset "
    "-device virtio-rng-pci -netdev tap,id=n,ifname=veil0,script=no,downscript=no "
    "-device virtio-net-pci,netdev=n,romfile=,mac=52:54:00:56:43:01"
)


@dataclass(frozen=True)
class Started:
    """Whether a disk's camera answered, and what the machine said on its console meanwhile."""

    answers: bool
    said: str


def boot(disk: Path, within_s: float) -> Started:
    """Boot a disk until its camera answers, at most so many seconds of this machine's."""
    console = disk.with_suffix(".console")
    drive = f"-serial file:{console} -drive if=none,id=d,file={disk},format=raw"
    words = [*QEMU.split(), *drive.split(), "-device", "virtio-blk-pci,drive=d,bootindex=0"]
    machine = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + within_s
        while time.monotonic() < end and machine.poll() is None:
            if _answers():
                return Started(True, console.read_text(errors="replace"))
            time.sleep(2)
        return Started(False, console.read_text(errors="replace"))
    finally:
        machine.kill()
        machine.wait()


def _answers() -> bool:
    try:
        url = f"https://{CAMERA}:{PORT}/healthz"
        with urllib.request.urlopen(url, timeout=20, context=trusting()):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
