"""An update that weakens privacy needs the owner's word for that very update."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.access.keyfile import make_owner_key
from firmware.access.owner import Ownership
from firmware.ports import SystemClock


def veilcam(*words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firmware", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return done


class Bench:
    """A claimed device, its authors, and its owner's key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.repository = folder, folder / "state", folder / "repository"
        self.device = open_identity(self.state).fingerprint
        public = make_owner_key(folder / "owner.key", "", "")
        ownership = Ownership(self.state, SystemClock())
        ownership.claim(str(ownership.first_code()), public, lambda: None)
        veilcam("ota", "keys", "create", self.repository)
        veilcam("ota", "trust", self.anchor, "--state", self.state)
        self.key = veilcam("ota", "keys", "device", "--state", self.state).stdout.strip()

    @property
    def anchor(self) -> Path:
        return self.repository / "metadata" / "1.root.json"

    def build(self, counter: int, policy: str, recall: float = 1.0) -> Path:
        version, bundle = self.folder / f"v{counter}", self.folder / f"v{counter}.vup"
        version.mkdir()
        (version / "run").write_text("#!/bin/sh\n")
        about = ["--version", counter, "--counter", counter, "--policy", policy, "--recall", recall]
        where = ["--repository", self.repository, "--board", "laptop", "--recipient", self.key]
        veilcam("ota", "build", version, bundle, *about, *where)
        return bundle

    def install(self, bundle: Path, *more: object, status: int = 0) -> str:
        words = ["ota", "install", bundle, "--state", self.state, "--board", "laptop", *more]
        return veilcam(*words, status=status).stderr

    def allow(self, bundle: Path, key: str = "owner.key", device: str = "") -> Path:
        told = veilcam("ota", "verify", bundle, "--anchor", self.anchor, "--board", "laptop", "--json").stdout
        release = json.loads(told)
        about = ["--counter", release["counter"], "--device", device or self.device]
        said = veilcam("owner", "allow-update", release["id"], *about, "--key", self.folder / key).stdout
        path = bundle.with_suffix(".statement")
        path.write_text(said)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_weaker_policy_and_a_worse_self_test_are_refused(bench: Bench) -> None:
    assert "WEAKENS_PRIVACY" in bench.install(bench.build(1, "faces"), status=80)
    assert "WEAKENS_PRIVACY" in bench.install(bench.build(2, "people", 0.5), status=80)


def test_the_owners_word_is_for_one_update_alone(bench: Bench, tmp_path: Path) -> None:
    first = bench.build(1, "faces")
    said = bench.allow(first)
    second = bench.build(2, "faces")
    assert "the next is 2" in bench.install(second, "--statement", said, status=80)
    make_owner_key(tmp_path / "stranger.key", "", "")
    strange = bench.allow(second, "stranger.key")
    assert "not signed by the owner" in bench.install(second, "--statement", strange, status=80)
    other = bench.allow(second, device="another device")
    assert "another device" in bench.install(second, "--statement", other, status=80)
    bench.install(second, "--statement", bench.allow(second))
