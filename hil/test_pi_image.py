"""The image of the Raspberry Pis, from outside, and what QEMU's raspi3b makes of it. No Pi has started it.

Needs the network and root where the image is not built yet, and no bench:
.venv/bin/python -m pytest hil/test_pi_image.py
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.update.boot.uboot import OFFSETS, SIZE, Record
from hil.bench import AS_CAMERA
from hil.emulated import build, raspi3b

SECTOR = 512
RULE = b'SUBSYSTEM=="video4linux", SYMLINK+="usb-camera", TAG+="systemd"\n'
"""Makes vivid what a USB camera is."""
PLUGGED = "PLUGGED-IN"
ASKS = (
    "until systemctl list-jobs | grep veilcam.service.*waiting; do sleep 1; done; "
    "until journalctl -u veilcam -o cat | grep -m1 usb-camera; do sleep 3; done; "
    "cat /proc/device-tree/model; echo; dmsetup table root; mount; df -B1 /data | tail -n 1; "
    "ls -l /dev/disk/by-partlabel/ /dev/mmcblk0p*; lsmod; "
    f"{AS_CAMERA} /opt/veilcam/venv/bin/veilcam boards detect; "
    "until systemctl list-jobs | grep veilcam.service.*waiting; do sleep 1; done; "
    f"echo {PLUGGED}; mkdir -p /run/udev/rules.d; "
    f"echo {base64.b64encode(RULE).decode()} | base64 -d >/run/udev/rules.d/99-rig.rules; "
    "udevadm control --reload; modprobe vivid n_devs=1 node_types=0x1; "
    "until systemctl list-jobs | grep veilcam.service.*running; do sleep 1; done; "
    "systemctl list-units --all --type=device | grep usb.x2dcamera"
)
"""What is asked: before the camera has said that there is no camera, then, and once there is one (vivid)."""


@dataclass(frozen=True)
class Part:
    """A partition of an image: where it lies, in bytes, and its type."""

    start: int
    size: int
    kind: str


class Disk:
    """An image's disk, as sfdisk and mtools see it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        table = json.loads(ran("sfdisk", "--json", str(path)))["partitiontable"]
        self.label, self.id = table["label"], table["id"]
        self.parts = {
            int(one["node"].removeprefix(str(path))): Part(
                one["start"] * SECTOR, one["size"] * SECTOR, one["type"]
            )
            for one in table["partitions"]
        }

    def digest(self, number: int, size: int) -> str:
        """Return the hash of a partition's first bytes."""
        with self.path.open("rb") as file:
            file.seek(self.parts[number].start)
            return hashlib.sha256(file.read(size)).hexdigest()

    def files(self, number: int) -> dict[str, bytes]:
        """Return what a FAT holds."""
        at = f"{self.path}@@{self.parts[number].start}"
        names = [line.removeprefix("::/") for line in ran("mdir", "-b", "-i", at, "::").splitlines()]
        return {name: subprocess.check_output(["mtype", "-i", at, f"::{name}"]) for name in names}


def ran(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of the image."""
    if request.config.getoption("lg_env") or os.environ.get("LG_ENV"):
        pytest.skip("is on no bench: run it alone, without --lg-env")
    if os.geteuid() != 0:
        pytest.skip("building an image needs root")
    return build.image(build.PI)


@pytest.fixture(scope="module")
def disk(folder: Path) -> Disk:
    return Disk(folder / "veilcam.img")


def test_the_table_is_one_that_every_bootloader_reads(disk: Disk) -> None:
    assert (disk.label, disk.id) == ("dos", "0x4c494556")
    kinds = {number: part.kind for number, part in disk.parts.items()}
    assert kinds == {1: "c", 2: "c", 3: "c", 4: "f", 5: "83", 6: "83", 7: "83", 8: "83"}
    inside = disk.parts[4]
    ends = [part.start + part.size for number, part in disk.parts.items() if number > 4]
    assert max(ends) == inside.start + inside.size, "the last partition is the data's, and can grow"
    assert disk.parts[8].start == max(part.start for part in disk.parts.values())


def test_both_slots_are_whole(disk: Disk, folder: Path) -> None:
    for name, numbers in (("boot.img", (2, 3)), ("root.img", (5, 6))):
        content = (folder / "release" / name).read_bytes()
        for number in numbers:
            assert len(content) <= disk.parts[number].size
            assert disk.digest(number, len(content)) == hashlib.sha256(content).hexdigest()


def test_the_configuration_names_files_that_are_there(disk: Disk) -> None:
    found = disk.files(1)
    text = found["config.txt"].decode()
    names = set(re.findall(r"^(?:kernel|device_tree)=(\S+)$", text, re.MULTILINE))
    assert {"u-boot.bin", "bcm2711-rpi-4-b.dtb", "bcm2837-rpi-zero-2-w.dtb"} <= names
    assert names <= set(found), names - set(found)
    assert {"start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "bootcode.bin", "boot.scr"} <= set(found)
    assert "uboot.env" in found
    assert {"bcm2712-rpi-5-b.dtb", "bcm2712d0-rpi-5-b.dtb"} <= set(found), "a Pi 5 finds its own"
    assert b"veilcam.slot" not in found["cmdline.txt"], "U-Boot says it"
    assert found["cmdline.txt"].count(b"\n") == 1
    assert b"Broadcom" in found["LICENCE.txt"]
    assert b"GPL" in found["LICENCE-u-boot.txt"]
    assert set(disk.files(2)) == {"vmlinuz", "initrd"}
    assert disk.files(2)["vmlinuz"][56:60] == b"ARMd", "what booti takes"


def test_the_bill_names_the_firmware_with_its_licence(folder: Path) -> None:
    bill = {one["name"]: one for one in json.loads((folder / "sbom.cdx.json").read_text())["components"]}
    assert {"license": {"name": "Proprietary_1"}} in bill["raspi-firmware"]["licenses"]
    kernels = {name for name in bill if re.match(r"linux-(image|binary)-\d", name)}
    assert len({name.split("-")[2] for name in kernels}) == 1, "nothing that is not in the image"


def test_its_slots_are_a_release(folder: Path, tmp_path: Path) -> None:
    def ota(*words: str) -> str:
        command = [sys.executable, "-m", "firmware", "ota", *words]
        return subprocess.run(
            command, cwd=build.ROOT, check=True, capture_output=True, text=True, timeout=300
        ).stdout

    repository, state, bundle = (str(tmp_path / name) for name in ("repository", "state", "b.vup"))
    open_identity(Path(state))
    ota("keys", "create", repository)
    to = ota("keys", "device", "--state", state).strip()
    boards = [word for name in ("pi4", "pi5", "zero2w") for word in ("--board", f"{name}-usb")]
    release = str(folder / "release")
    told = ("--repository", repository, "--version", "2", "--counter", "2", *boards, "--recipient", to)
    ota("build", release, bundle, *told)
    anchor = f"{repository}/metadata/1.root.json"
    said = ota("verify", bundle, "--anchor", anchor, "--board", "pi4-usb", "--folder", release, "--json")
    assert json.loads(said)["verified"] is True


@pytest.mark.timeout(1200)
def test_raspi3b_tries_slot_b_once(folder: Path, disk: Disk, tmp_path: Path) -> None:
    if shutil.which("qemu-system-aarch64") is None:
        pytest.skip("needs qemu-system-aarch64 (Debian: qemu-system-arm)")
    card, records = raspi3b.card(folder, tmp_path / "card.img"), disk.parts[7].start
    with card.open("r+b") as file:
        file.seek(records + OFFSETS[0])
        file.write(Record(5, good="a", trying="b", spent=False).encoded())
    said = raspi3b.boot(card, tmp_path, ASKS, 900)
    assert "Environment from FAT... OK" in said
    assert re.search(r"^In: +nulldev", said, re.MULTILINE), "no key stops it"
    assert re.search(r"veilcam: trying slot b\s+.*veilcam: slot b", said, re.DOTALL), said[:4000]
    with card.open("rb") as file:
        file.seek(records + OFFSETS[1])
        noted = Record.decoded(file.read(SIZE))
    assert noted == Record(5, good="a", trying="b", spent=True), "the next start takes a"
    starts(said)


@pytest.mark.timeout(600)
def test_nothing_but_its_script_is_started(folder: Path, tmp_path: Path) -> None:
    """Debian's kernel is an EFI program as well, which U-Boot by itself starts where it finds no script."""
    if shutil.which("qemu-system-aarch64") is None:
        pytest.skip("needs qemu-system-aarch64 (Debian: qemu-system-arm)")
    card = raspi3b.card(folder, tmp_path / "card.img")
    first, slot = f"{card}@@{raspi3b.FIRST_AT}", Disk(folder / "veilcam.img").parts[2].start
    ran("mdel", "-i", first, "::boot.scr")
    ran("mcopy", "-n", "-i", f"{card}@@{slot}", "::vmlinuz", str(tmp_path))
    ran("mmd", "-i", first, "::EFI", "::EFI/BOOT")
    ran("mcopy", "-i", first, str(tmp_path / "vmlinuz"), "::EFI/BOOT/BOOTAA64.EFI")
    said = raspi3b.attempt(card, tmp_path, 300)
    assert "veilcam: no boot.scr" in said, said[-4000:]
    assert "resetting" in said
    assert "EFI" not in said, "nothing else was looked for"


def starts(said: str) -> None:
    """What the machine says of itself, from slot b, is what an image for a Pi has to be."""
    assert "Raspberry Pi Zero 2 W" in said
    assert re.search(r"^0 \d+ verity 1 179:6 179:6 ", said, re.MULTILINE), said[-4000:]
    assert re.search(r"mmcblk0p8 on /var/lib/veilcam type ext4 \(rw,nosuid,nodev", said)
    grown = re.search(r"^/dev/mmcblk0p8 +(\d+)", said, re.MULTILINE)
    assert grown is not None
    assert int(grown[1]) > 2 << 30, "the card is larger than the image"
    for number, name in ((2, "boot_a"), (3, "boot_b"), (5, "root_a"), (6, "root_b"), (7, "bootstate")):
        assert re.search(rf"{name} -> ../../mmcblk0p{number}\b", said)
        assert re.search(rf"root +veilcam .*/dev/mmcblk0p{number}\b", said), "an update writes it"
    assert "zero2w-usb" in said
    assert re.search(r"veilcam.service +(re)?start waiting", said), "it waits for its camera"
    assert "/dev/usb-camera: No such file or directory; plug the camera in" in said, "it was started"
    assert re.search(r"usb\\x2dcamera.device +loaded +active +plugged", said.rpartition(PLUGGED)[2]), "by it"
    assert not re.search(r"^(hci_uart|brcmfmac) ", said, re.MULTILINE)
