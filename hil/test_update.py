"""Updates of a machine with two slots: tried once by its bootloader, and kept, or given up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hil.bench import STATE, VEILCAM, Bench
from hil.emulated import build
from hil.emulated.served import Served
from hil.results import Results

pytestmark = [pytest.mark.lg_feature(["emulated", "shell", "slots"]), pytest.mark.timeout(3600)]
RESTART = "systemctl start veilcam-restart.path"
"""Lets the camera have the restart that it asked for."""


class Author:
    """Whoever makes updates, beside the bench; serves them to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counter = 1
        self.ota("keys", "create", str(folder / "repository"))

    def ota(self, *words: str) -> str:
        command = [sys.executable, "-m", "firmware", "ota", *words]
        done = subprocess.run(
            command, cwd=build.ROOT, check=True, capture_output=True, text=True, timeout=600
        )
        return done.stdout

    def bundle(self, release: Path, recipient: str) -> str:
        """Sign and seal a release for a device; returns the bundle's name."""
        self._counter += 1
        name = f"v{self._counter}.vup"
        told = ("--repository", str(self.folder / "repository"), "--board", build.BOARD)
        version = ("--version", f"{self._counter}.0", "--counter", str(self._counter))
        self.ota("build", str(release), str(self.folder / name), *told, *version, "--recipient", recipient)
        return name


@pytest.fixture(scope="module")
def author(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Author:
    """An author whom the camera trusts."""
    made = Author(tmp_path_factory.mktemp("author"))
    root = made.folder / "repository" / "metadata" / "1.root.json"
    bench.put("/run/root.json", root.read_bytes())
    bench.run(f"chmod 644 /run/root.json; {VEILCAM} ota trust /run/root.json --state {STATE}", 60)
    return made


def told(bench: Bench) -> dict[str, object]:
    return dict(json.loads(bench.run(f"{VEILCAM} ota status --json --state {STATE}", 60).splitlines()[-1]))


def until_decided(bench: Bench) -> dict[str, object]:
    """Return what is told once a version is on trial no more; the journal says when, at the least cost."""
    said = "journalctl -u veilcam -o cat | grep -Eq 'is confirmed|rolled back'"
    bench.run(f"until {said}; do sleep 5; done", 240)
    return told(bench)


def install(bench: Bench, author: Author, release: Path) -> None:
    """Have the camera take a release; the machine's restart, for which the camera then asks, is held back."""
    bench.run("systemctl stop veilcam-restart.path", 60)
    recipient = bench.run(f"{VEILCAM} ota keys device --state {STATE}", 60).splitlines()[-1]
    name = author.bundle(release, recipient)
    with Served(author.folder) as served:
        served.bring(bench, name, f"{STATE}/incoming.vup")
    said = bench.run(f"{VEILCAM} ota install {STATE}/incoming.vup --state {STATE} 2>&1", 300)
    assert "armed" in said, said


def marked(root: Path) -> None:
    """Another version: it says so."""
    (root / "opt" / "veilcam" / "VERSION").write_text("2\n", encoding="ascii")


def without_the_camera(root: Path) -> None:
    """A version in which the camera does not start."""
    (root / "opt" / "veilcam" / "venv" / "bin" / "veilcam").write_text("#!/bin/false\n", encoding="ascii")


async def test_a_version_is_written_tried_and_kept(
    bench: Bench, author: Author, image: Path, results: Results
) -> None:
    await bench.until_shown(120)
    install(bench, author, build.release(image, "marked", marked))
    before = bench.slot()
    bench.restarts(RESTART)
    await bench.until_ready(300)
    tried = bench.slot()
    assert tried != before
    assert bench.run("cat /opt/veilcam/VERSION") == "2"
    assert until_decided(bench)["counter"] == 2
    bench.cut()
    await bench.until_ready(300)
    assert bench.slot() == tried, "it is what every start takes now"


async def test_a_version_whose_camera_does_not_start_is_given_up(
    bench: Bench, author: Author, image: Path
) -> None:
    before, counter = bench.slot(), told(bench)["counter"]
    install(bench, author, build.release(image, "broken", without_the_camera))
    bench.restarts(RESTART)
    # Thirty starts that fail, then the machine restarts itself.
    await bench.until(lambda told: True, 600, "the version before runs again")
    assert bench.slot() == before
    assert told(bench)["counter"] == counter
