"""Slots on real block devices (loop devices): written, read past the page cache, and never while mounted.

Skipped where the machine has none to give, as most containers do.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from firmware.update.boot.machine import MachineSlots
from firmware.update.boot.partition import Partitions, read_past_cache
from ota.errors import Code
from tests.ota.test_metadata import refused
from tests.update.boot.boards import Jetson, image, put


@contextmanager
def loop(path: Path) -> Iterator[Path]:
    done = subprocess.run(["losetup", "-f", "--show", str(path)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[dict[str, Path]]:
    with ExitStack() as held:
        made = {}
        for slot in "ab":
            path = tmp_path / slot
            path.write_bytes(bytes(8 << 20))
            made[slot] = held.enter_context(loop(path))
        yield made


def slots(jetson: Jetson, devices: dict[str, Path]) -> MachineSlots:
    switch = jetson.switch()
    writer = Partitions({slot: {"root.img": path} for slot, path in devices.items()}, switch.booted)
    return MachineSlots(jetson.folder / "slots", switch, writer, jetson.boot_id)


def test_an_image_is_written_to_a_block_device_and_proven(tmp_path: Path, devices: dict[str, Path]) -> None:
    jetson = Jetson(tmp_path / "jetson")
    release = put(slots(jetson, devices), "one", jetson.files("one"))
    assert slots(jetson, devices).has(release)
    wanted = image("one")
    assert b"".join(read_past_cache(devices["b"], len(wanted))) == wanted
    assert (tmp_path / "b").read_bytes().startswith(wanted)
    too_large = {"root.img": image("two", (8 << 20) + 1)}
    refused(Code.INCOMPATIBLE, lambda: put(slots(jetson, devices), "two", too_large))


def test_e15_e19_a_partition_that_is_mounted_is_never_written(
    tmp_path: Path, devices: dict[str, Path]
) -> None:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not here")
    subprocess.run(["mkfs.ext4", "-q", str(devices["b"])], check=True)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    if subprocess.run(
        ["mount", str(devices["b"]), str(mounted)], check=False, capture_output=True
    ).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        (mounted / "kept").write_text("kept")
        jetson = Jetson(tmp_path / "jetson")
        why = refused(Code.UNSUPPORTED, lambda: put(slots(jetson, devices), "one", jetson.files("one")))
        assert "leave it unmounted" in why
        assert (mounted / "kept").read_text() == "kept"
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
