"""The power goes in the middle of an update: what the disk holds then boots the old version or the new one.

Needs VEILCAM_CUTS=N. Every write and flush of an update and of its first start is logged; N disks
that a power cut could leave are made of the log, each is looked at, and some are booted (VEILCAM_BOOTS,
default 5).
"""

import asyncio
import hashlib
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware.update.boot.uboot import OFFSETS, SIZE, Record
from hil.bench import Bench
from hil.emulated import build
from hil.emulated.machine import boot
from hil.emulated.replay import Cut, Entry, Log, cuts, leave
from hil.results import Results
from hil.test_update import RESTART, Author, author, install, marked

__all__ = ["author"]
pytestmark = [pytest.mark.lg_feature(["emulated", "shell", "slots"]), pytest.mark.timeout(14_400)]
SEED = 20261126
ROOT_B, DATA = 5, 7
"""Numbers of their partitions."""


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

    def flip(self, partition: int, at: int) -> None:
        """Turn one byte over."""
        (before,) = self.read(partition, 1, at)
        with self.path.open("r+b") as file:
            file.seek(self._starts[partition - 1] * 512 + at)
            file.write(bytes([before ^ 0xFF]))

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
        data, skip = folder / "data.img", self._starts[DATA - 1] * 512
        copied = ["dd", f"if={self.path}", f"of={data}", "bs=1M", "iflag=skip_bytes", f"skip={skip}"]
        subprocess.run([*copied, "conv=sparse", "status=none"], check=True, timeout=300)
        done = subprocess.run(["e2fsck", "-fy", data], check=False, capture_output=True, timeout=300)
        return done.returncode in (0, 1)


@dataclass(frozen=True)
class Update:
    """An update from power-on to the first start of the new version, as a log of every write to the disk."""

    log: Log
    entries: list[Entry]
    armed: int
    """How many of the entries were there when the new version was armed, and not tried yet."""
    releases: list[Path]


@pytest.fixture(scope="module")
def update(bench: Bench, author: Author, image: Path, writes: Path) -> Update:
    """Let a camera update itself, and switch it off."""
    asyncio.run(bench.until_shown(240))
    assert bench.slot() == "a"
    made = build.release(image, "marked", marked)
    install(bench, author, made)
    size = writes.stat().st_size
    bench.restarts(RESTART)
    asyncio.run(bench.until_ready(300))
    assert bench.slot() == "b"
    bench.off()
    log = Log(writes)
    entries = list(log)
    armed = sum(entry.at + entry.count * log.sector <= size for entry in entries)
    return Update(log, entries, armed, [image / "release", made])


def test_any_cut_boots_the_old_version_or_the_new_one(
    update: Update, image: Path, results: Results, tmp_path: Path
) -> None:
    # Half of them after the new version was armed: those requests are few, and the switch is in them.
    half, late = int(os.environ["VEILCAM_CUTS"]) // 2, update.entries[update.armed :]
    after = [replace(cut, entry=cut.entry + update.armed) for cut in cuts(late, half, SEED)]
    chosen = [*cuts(update.entries, half, SEED), *after]
    boots = chosen[:: max(1, len(chosen) // int(os.environ.get("VEILCAM_BOOTS", "5")))]
    seen: Counter[str] = Counter()
    for number, cut in enumerate(chosen):
        release = _looked_at(update, cut, image, tmp_path)
        seen[release] += 1
        if cut in boots:
            started = boot(tmp_path / "disk.img", within_s=900)
            assert started.answers, (cut, started.said)
        build.say(f"cut {number + 1} of {len(chosen)}: {release}{', booted' if cut in boots else ''}")
    results.figure("power cuts replayed", len(chosen), "")
    results.figure("of them booted to the camera's answer", len(boots), "")
    assert set(seen) == {"release", "marked"}, "cuts before and after the switch, and nothing else"


def test_a_slot_that_was_tampered_with_does_not_boot(update: Update, image: Path, tmp_path: Path) -> None:
    """One byte of the root that is to be tried, in the first block, which every start reads."""
    path = tmp_path / "disk.img"
    _made(update, Cut(update.armed, SEED), image, path)
    disk = Disk(path)
    assert disk.slot() == "b"
    disk.flip(ROOT_B, 64)
    started = boot(path, within_s=1500)
    assert started.answers, started.said
    assert re.findall(r"veilcam: slot ([ab])", started.said) == ["b", "a"], started.said


def _made(update: Update, cut: Cut, image: Path, path: Path) -> None:
    """Make the disk of a cut."""
    command = ["cp", "--sparse=always", str(image / "veilcam.img"), str(path)]
    subprocess.run(command, check=True, timeout=120)
    leave(update.log, update.entries, cut, path)


def _looked_at(update: Update, cut: Cut, image: Path, folder: Path) -> str:
    """Make the disk of a cut, and return the release that it boots."""
    path = folder / "disk.img"
    _made(update, cut, image, path)
    disk = Disk(path)
    slot = disk.slot()
    release = disk.release(slot, update.releases)
    assert release is not None, (cut, slot)
    assert disk.data_is_sound(folder), cut
    return release
