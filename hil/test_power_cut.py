"""The power goes in the middle of an update: what the disk holds then boots the old version or the new one.

Needs VEILCAM_CUTS=N. Every write and flush of an update, its restart and its confirmation is logged; N disks
that a power cut could leave are made of the log, each is looked at, and some are booted (VEILCAM_BOOTS,
default 5).
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware.update.boot.uboot import OFFSETS, SIZE, Record
from hil.bench import Bench
from hil.emulated import build
from hil.emulated.machine import answers
from hil.emulated.replay import Cut, Log, cuts, leave
from hil.results import Results
from hil.test_update import RESTART, Author, author, install, marked, until_decided

__all__ = ["author"]
pytestmark = [pytest.mark.lg_feature(["emulated", "shell", "slots"]), pytest.mark.timeout(14_400)]
SEED = 20261126


class Disk:
    """A disk's file, by its partitions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        said = subprocess.run(["sfdisk", "--dump", path], check=True, capture_output=True, text=True).stdout
        self._starts = [
            int(line.partition("start=")[2].partition(",")[0])
            for line in said.splitlines()
            if "start=" in line
        ]

    def read(self, partition: int, size: int, at: int = 0) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self._starts[partition - 1] * 512 + at)
            return file.read(size)

    def slot(self) -> str:
        """Return what U-Boot takes at the next start (scripts/images/boot.cmd)."""
        records = [Record.decoded(self.read(6, SIZE, at)) for at in OFFSETS]
        newest = max((one for one in records if one), key=lambda one: one.age, default=Record(0, "a"))
        tries = newest.trying != "none" and not newest.spent
        return newest.trying if tries else newest.good

    def release(self, slot: str, releases: list[Path]) -> str | None:
        """Return which release a slot holds, whole; None for none."""
        for one in releases:
            images = {"boot.img": 2, "root.img": 4}
            if all(self._holds(one / name, number + (slot == "b")) for name, number in images.items()):
                return one.name
        return None

    def _holds(self, image: Path, partition: int) -> bool:
        size = image.stat().st_size
        found = hashlib.sha256(self.read(partition, size)).digest()
        return found == hashlib.sha256(image.read_bytes()).digest()

    def data_is_sound(self, folder: Path) -> bool:
        """Say whether the data partition's journal can be replayed and nothing is lost in it."""
        data = folder / "data.img"
        with data.open("wb") as file:
            file.write(self.read(7, 1400 << 20))
        done = subprocess.run(["e2fsck", "-fy", data], check=False, capture_output=True, timeout=300)
        return done.returncode in (0, 1)


async def test_any_cut_boots_the_old_version_or_the_new_one(
    bench: Bench, author: Author, image: Path, writes: Path, results: Results, tmp_path: Path
) -> None:
    await bench.until_shown(240)
    made = build.release(image, "marked", marked)
    install(bench, author, made)
    bench.restarts(RESTART)
    await bench.until_ready(300)
    assert until_decided(bench)["counter"] == 2
    bench.off()
    log = Log(writes)
    entries = list(log)
    chosen = cuts(entries, int(os.environ["VEILCAM_CUTS"]), SEED)
    boots = chosen[:: max(1, len(chosen) // int(os.environ.get("VEILCAM_BOOTS", "5")))]
    seen: dict[str, int] = {}
    for cut in chosen:
        release = _looked_at(log, entries, cut, image, made, tmp_path)
        seen[release] = seen.get(release, 0) + 1
        if cut in boots:
            assert answers(tmp_path / "disk.img", within_s=900), cut
    results.figure("power cuts replayed", len(chosen), "")
    results.figure("of them booted to the camera's answer", len(boots), "")
    assert set(seen) <= {"release", "marked"}
    assert len(seen) == 2, "cuts before and after the switch"


def _looked_at(log: Log, entries: list[object], cut: Cut, image: Path, made: Path, folder: Path) -> str:
    """Make the disk of a cut, and return the release that it boots."""
    path = folder / "disk.img"
    shutil.copyfile(image / "veilcam.img", path)
    leave(log, entries, cut, path)  # type: ignore[arg-type]
    disk = Disk(path)
    slot = disk.slot()
    release = disk.release(slot, [image / "release", made])
    assert release is not None, (cut, slot)
    assert disk.data_is_sound(folder), cut
    return release
