"""Writes an image to a whole disk, and proves it by reading it back past the cache; refuses one in use."""

import argparse
import fcntl
import hashlib
import mmap
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

PIECE = 4 << 20
SECTORS = 512
REREAD = 0x125F
"""BLKRRPART: read the table of partitions again."""


class Refused(Exception):
    """The disk is not to be written; says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where this machine says what its disks are used for."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    def block(self, name: str) -> Path:
        return self.sys / "class" / "block" / name

    def uses(self, disk: str) -> str | None:
        """Say what a disk, its partitions or what lies on top of them are used for; None for nothing."""
        mounted = {line.split()[2]: line.split()[4] for line in self._lines("self/mountinfo")}
        swapped = {Path(line.split()[0]).name for line in self._lines("swaps")[1:]}
        for name in self._stack(disk):
            if (number := self._number(name)) in mounted:
                return f"{name} is mounted on {mounted[number]}"
            if name in swapped:
                return f"{name} is swap"
        return None

    def size(self, disk: str) -> int:
        return int((self.block(disk) / "size").read_text()) * SECTORS

    def whole(self, disk: str) -> bool:
        return self.block(disk).exists() and not (self.block(disk) / "partition").exists()

    def title(self, disk: str) -> str:
        parts = [self.block(disk) / "device" / name for name in ("vendor", "model", "name")]
        return " ".join(part.read_text().strip() for part in parts if part.is_file()) or "unnamed"

    def _stack(self, name: str) -> Iterator[str]:
        """Give a block device, its partitions, and every device that is made of them."""
        yield name
        folder = self.block(name)
        above = [path.name for path in folder.glob(f"{name}*") if (path / "partition").exists()]
        above += [path.name for path in (folder / "holders").glob("*")]
        for one in above:
            yield from self._stack(one)

    def _number(self, name: str) -> str:
        try:
            return (self.block(name) / "dev").read_text().strip()
        except OSError:
            return ""

    def _lines(self, name: str) -> list[str]:
        return (self.proc / name).read_text(encoding="utf-8", errors="replace").splitlines()


def check(device: Path, size: int, machine: Machine) -> str:
    """Return the disk's name; raises Refused."""
    try:
        kind = device.stat().st_mode
    except OSError as exc:
        raise Refused(f"{device}: {exc.strerror}; see: lsblk") from exc
    disk = device.resolve().name
    if not stat.S_ISBLK(kind):
        raise Refused(f"{device}: is no disk; see: lsblk")
    if not machine.whole(disk):
        whole = re.sub(r"p?\d+$", "", disk)
        raise Refused(f"{device}: is a partition; name the whole disk, perhaps /dev/{whole}")
    if used := machine.uses(disk):
        raise Refused(f"{device}: {used}; it would be lost. Unmount it, if it is not this system")
    if (room := machine.size(disk)) < size:
        needed = f"{room / 1e9:.1f} GB, and the image {size / 1e9:.1f}"
        raise Refused(f"{device}: has {needed}; use a larger one")
    return disk


def write(image: Path, target: int, told: Callable[[int], object]) -> str:
    """Write the image; returns its SHA-256."""
    found = hashlib.sha256()
    with image.open("rb") as source:
        while piece := source.read(PIECE):
            found.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
            told(len(piece))
    os.fsync(target)
    return found.hexdigest()


def read_back(device: Path, size: int, told: Callable[[int], object]) -> str:
    """Return the SHA-256 of the first `size` bytes as the disk gives them, not the cache."""
    found, left = hashlib.sha256(), size
    flags = os.O_RDONLY | (os.O_DIRECT if stat.S_ISBLK(device.stat().st_mode) else 0)
    source = os.open(device, flags)
    # Memory of whole pages, which O_DIRECT asks for.
    try:
        with mmap.mmap(-1, PIECE) as room:
            while left > 0 and (count := os.readv(source, [room])):
                found.update(room[: min(count, left)])
                told(min(count, left))
                left -= count
    finally:
        os.close(source)
    return found.hexdigest()


def flash(image: Path, device: Path, target: int) -> None:
    """Write and read back, with bars on a terminal; raises Refused where the disk gives something else."""
    size = image.stat().st_size
    with tqdm(total=size, desc="writing", unit="B", unit_scale=True, disable=None) as bar:
        written = write(image, target, bar.update)
    with tqdm(total=size, desc="reading back", unit="B", unit_scale=True, disable=None) as bar:
        if read_back(device, size, bar.update) != written:
            raise Refused(f"{device}: gives back something else than was written; throw it away")


def run(image: Path, device: Path, machine: Machine, *, asks: bool) -> str:
    """Write an image once somebody has said so; returns what the disk is. Raises Refused, OSError."""
    if not image.is_file():
        raise Refused(f"{image}: no such image; build one with scripts/image")
    disk = check(device, image.stat().st_size, machine)
    about = f"{device} ({machine.title(disk)}, {machine.size(disk) / 1e9:.1f} GB)"
    if asks and input(f"Everything on {about} will be lost. Write its name to go on: ") != disk:
        raise Refused("nothing was written")
    # Exclusive: the kernel refuses what is in use after all.
    target = os.open(device, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        flash(image, device, target)
        fcntl.ioctl(target, REREAD)
    finally:
        os.close(target)
    return about


def main(machine: Machine = Machine()) -> int:
    """Ask, write, prove."""
    parser = argparse.ArgumentParser(prog="scripts/flash", description=__doc__)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="build/BOARD/veilcam.img, of scripts/image")
    parser.add_argument("device", metavar="DEVICE", type=Path, help="a whole disk, such as /dev/sdX")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    args = parser.parse_args()
    try:
        about = run(args.image, args.device, machine, asks=not args.yes)
    except (Refused, OSError, EOFError) as exc:
        print(f"flash: {exc}", file=sys.stderr)
        return 1
    print(f"flash: {about}: written, and read back the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
