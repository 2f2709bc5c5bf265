"""Starts a Raspberry Pi's image in QEMU's raspi3b: its SD card, none of its bootloaders, and no hardware.

QEMU is given kernel, initial RAM disk and device tree of the boot partition, as a Pi's firmware would take
them, and the device tree says which partition that was. The watchdog is left out: QEMU restarts at its start.
"""

import base64
import shutil
import subprocess
import time
from pathlib import Path

from hil.emulated.build import run

TREE = "bcm2837-rpi-zero-2-w.dtb"
CARD = 4 << 30
"""Bytes: a power of two, and more than the image, so that the data partition grows."""
OVER = "RIG-OVER"
WORDS = "console=ttyS1,115200 panic=5 systemd.gpt_auto=no systemd.show_status=0 loglevel=4"
QEMU = "qemu-system-aarch64 -M raspi3b -display none -monitor none -no-reboot -serial null"
UNIT = """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c '%s'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
"""
POLL_S = 1.0


def boot(folder: Path, work: Path, partition: int, asks: str, within_s: float) -> str:
    """Boot a card with an image on it; returns what the console said until `asks` has run within."""
    card, console = work / "card.img", work / "console"
    shutil.copyfile(folder / "veilcam.img", card)
    with card.open("r+b") as file:
        file.truncate(CARD)
    boot_image = str(folder / "release" / "boot.img")
    run(["mcopy", "-n", "-i", boot_image, "::vmlinuz", "::initrd", f"::{TREE}", str(work)])
    tree = str(work / TREE)
    run(["fdtput", "-c", tree, "/chosen/bootloader"])
    run(["fdtput", "-t", "i", tree, "/chosen/bootloader", "partition", str(partition)])
    unit = base64.b64encode((UNIT % f"{asks}; echo {OVER}").encode()).decode()
    words = (
        f"{WORDS} module_blacklist=bcm2835_wdt systemd.wants=rig.service "
        f"systemd.set_credential_binary=systemd.extra-unit.rig.service:{unit}"
    )
    command = [*QEMU.split(), "-kernel", str(work / "vmlinuz"), "-initrd", str(work / "initrd")]
    command += ["-dtb", tree, "-drive", f"if=sd,format=raw,file={card}", "-serial", f"file:{console}"]
    machine = subprocess.Popen([*command, "-append", words], stdin=subprocess.DEVNULL)
    try:
        return _listen(machine, console, within_s)
    finally:
        machine.kill()
        machine.wait()


def _listen(machine: "subprocess.Popen[bytes]", console: Path, within_s: float) -> str:
    end, said = time.monotonic() + within_s, ""
    while time.monotonic() < end and machine.poll() is None and OVER not in said:
        time.sleep(POLL_S)
        said = console.read_text(errors="replace") if console.exists() else ""
    assert OVER in said, f"not within {within_s} s:\n{said[-4000:]}"
    return said
