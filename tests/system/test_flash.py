"""What scripts/flash writes, proves and refuses; disks are files and folders that look like a machine's."""

import os
from pathlib import Path

import pytest

from scripts import flash
from scripts.flash import Machine, Refused, check, read_back, write

ROOT_DISK = "vda"


def machine(folder: Path, mounts: str = "", swaps: str = "") -> Machine:
    """Two disks: `sda` with two partitions, on the second of which lies a mapped device, and `sdb`, empty."""
    block = folder / "sys" / "class" / "block"
    numbers = {"sda": "8:0", "sda1": "8:1", "sda2": "8:2", "sdb": "8:16", "dm-0": "253:0"}
    for name, number in numbers.items():
        where = (
            block / ("sda" if name.startswith("sda") else "") / name
            if name in ("sda1", "sda2")
            else block / name
        )
        where.mkdir(parents=True, exist_ok=True)
        (where / "dev").write_text(number + "\n")
        (where / "size").write_text("2048\n")
        if name in ("sda1", "sda2"):
            (where / "partition").write_text(name[-1])
            (block / name).symlink_to(where)
    (block / "sda" / "sda2" / "holders" / "dm-0").mkdir(parents=True)
    proc = folder / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text(mounts)
    (proc.parent / "swaps").write_text("Filename Type\n" + swaps)
    return Machine(folder / "sys", folder / "proc")


@pytest.mark.parametrize(
    ("mounts", "swaps", "said"),
    [
        ("1 0 8:1 / /media/card rw - vfat /dev/sda1 rw\n", "", "sda1 is mounted on /media/card"),
        ("1 0 8:0 / /mnt rw - ext4 /dev/sda rw\n", "", "sda is mounted on /mnt"),
        ("1 0 253:0 / / rw - ext4 /dev/mapper/root rw\n", "", "dm-0 is mounted on /"),
        ("", "/dev/sda2 partition\n", "sda2 is swap"),
    ],
)
def test_a_disk_in_use_is_known_by_what_lies_on_it(
    mounts: str, swaps: str, said: str, tmp_path: Path
) -> None:
    made = machine(tmp_path, mounts, swaps)
    assert made.uses("sda") == said
    assert made.uses("sdb") is None


def test_the_disk_of_this_very_system_is_in_use() -> None:
    here = Machine()
    device = Path("/").stat().st_dev
    link = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not link.exists():
        pytest.skip("the root of this machine is on no block device")
    name = link.resolve().name
    whole = link.resolve().parent.name if (link / "partition").exists() else name
    assert "is mounted on" in str(here.uses(whole))
    with pytest.raises(Refused, match="it would be lost"):
        check(Path("/dev") / whole, 1, here)


def test_what_is_no_whole_disk_is_refused(tmp_path: Path) -> None:
    made = machine(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="is no disk; see: lsblk"):
        check(tmp_path / "file", 1, made)
    with pytest.raises(Refused, match="No such file"):
        check(tmp_path / "nothing", 1, made)
    assert not made.whole("sda1")
    assert made.whole("sda")


def test_a_small_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine(tmp_path)
    monkeypatch.setattr(flash.stat, "S_ISBLK", lambda mode: True)
    (tmp_path / "sdb").touch()
    assert check(tmp_path / "sdb", 1 << 20, made) == "sdb"
    with pytest.raises(Refused, match="use a larger one"):
        check(tmp_path / "sdb", (1 << 20) + 1, made)


def test_what_is_written_is_read_back_and_a_wrong_byte_is_seen(tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    image.write_bytes(os.urandom(9 << 20) + b"tail")
    disk.write_bytes(bytes(12 << 20))
    handle = os.open(disk, os.O_WRONLY)
    try:
        flash.flash(image, disk, handle)
        told: list[int] = []
        digest = write(image, os.open(disk, os.O_WRONLY), told.append)
        assert sum(told) == image.stat().st_size
        with disk.open("r+b") as file:
            file.seek(5 << 20)
            file.write(b"x")
        assert read_back(disk, image.stat().st_size, told.append) != digest
    finally:
        os.close(handle)
