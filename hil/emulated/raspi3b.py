"""Starts a Raspberry Pi's image in QEMU's raspi3b: its card, from U-Boot on; no Pi's firmware, no hardware.

QEMU is given U-Boot and the device tree of the first partition, as a Pi's firmware would take them; the
command line in the tree is the firmware's part. The watchdog is left out: QEMU restarts at its start.
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
FIRST_AT = 1 << 20
"""Where the first partition begins."""
OVER, STARTING = "RIG-OVER", "Starting kernel"
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


def card(folder: Path, path: Path) -> Path:
    """Write a card with an image on it."""
    shutil.copyfile(folder / "veilcam.img", path)
    with path.open("r+b") as file:
        file.truncate(CARD)
    return path


def boot(card: Path, work: Path, asks: str, within_s: float) -> str:
    """Boot a card from U-Boot on; returns what the console said until `asks` has run within."""
    unit = base64.b64encode((UNIT % f"{asks}; echo {OVER}").encode()).decode()
    words = (
        f"{WORDS} module_blacklist=bcm2835_wdt systemd.wants=rig.service "
        f"systemd.set_credential_binary=systemd.extra-unit.rig.service:{unit}"
    )
    said = _console(card, work, words, OVER, within_s)
    assert OVER in said, f"not within {within_s} s:\n{said[-4000:]}"
    return said


def attempt(card: Path, work: Path, within_s: float) -> str:
    """Boot a card until its kernel starts or the machine is reset; returns what the console said."""
    return _console(card, work, WORDS, STARTING, within_s)


def _console(card: Path, work: Path, words: str, until: str, within_s: float) -> str:
    console = work / "console"
    run(["mcopy", "-n", "-i", f"{card}@@{FIRST_AT}", "::u-boot.bin", f"::{TREE}", str(work)])
    command = [*QEMU.split(), "-kernel", str(work / "u-boot.bin"), "-dtb", str(work / TREE)]
    command += ["-drive", f"if=sd,format=raw,file={card}", "-serial", f"file:{console}", "-append", words]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        end, said = time.monotonic() + within_s, ""
        while time.monotonic() < end and machine.poll() is None and until not in said:
            time.sleep(POLL_S)
            said = _read(console)
        return _read(console)
    finally:
        machine.kill()
        machine.wait()


def _read(console: Path) -> str:
    return console.read_text(errors="replace") if console.exists() else ""
