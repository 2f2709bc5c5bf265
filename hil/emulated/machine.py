"""The emulated machine without labgrid: boots a disk and waits for the camera's answer."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from hil.bench import PORT, trusting
from hil.emulated.network import CAMERA

QEMU = (
    "qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 1 -icount shift=0,sleep=on -m 2G "
    "-display none -monitor none -serial file:/dev/null -bios /usr/lib/u-boot/qemu_arm64/u-boot.bin "
    "-device i6300esb -action watchdog=reset "
    "-device virtio-rng-pci -netdev tap,id=n,ifname=veil0,script=no,downscript=no "
    "-device virtio-net-pci,netdev=n,romfile=,mac=52:54:00:56:43:01"
)


def answers(disk: Path, within_s: float) -> bool:
    """Boot a disk, and say whether its camera answers within so many seconds of this machine."""
    drive = [
        "-drive",
        f"if=none,id=d,file={disk},format=raw",
        "-device",
        "virtio-blk-pci,drive=d,bootindex=0",
    ]
    machine = subprocess.Popen([*QEMU.split(), *drive], stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + within_s
        while time.monotonic() < end and machine.poll() is None:
            try:
                asked = urllib.request.urlopen(
                    f"https://{CAMERA}:{PORT}/healthz", timeout=20, context=trusting()
                )
                with asked:
                    return True
            except urllib.error.HTTPError:
                return True
            except OSError:
                time.sleep(2)
        return False
    finally:
        machine.kill()
        machine.wait()
