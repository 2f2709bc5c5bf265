"""`veilcam ota` on the authors' side: what is built verifies, and what was touched does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from ota.bundle import read_bundle


def veilcam(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firmware", "ota", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle for a device, built by the verbs."""
    open_identity(tmp_path / "state")
    key = veilcam("keys", "device", "--state", tmp_path / "state").stdout.strip()
    assert veilcam("keys", "create", tmp_path / "repository").returncode == 0
    folder = tmp_path / "version"
    folder.mkdir()
    (folder / "run").write_text("#!/bin/sh\n")
    path = tmp_path / "update.vup"
    done = veilcam(
        "build", folder, path, "--repository", tmp_path / "repository", "--version", "1.2.0",
        "--counter", 3, "--board", "laptop", "--recipient", key, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == path.stat().st_size
    return path


def verify(path: Path, board: str = "laptop") -> subprocess.CompletedProcess[str]:
    anchor = path.parent / "repository" / "metadata" / "1.root.json"
    return veilcam("verify", path, "--anchor", anchor, "--board", board, "--json")


def test_what_was_built_verifies(bundle: Path) -> None:
    told = json.loads(verify(bundle).stdout)
    assert (told["verified"], told["version"], told["counter"]) == (True, "1.2.0", 3)
    seen = veilcam("inspect", bundle)
    assert seen.stdout.startswith("NOT VERIFIED")
    assert "1.2.0" in seen.stdout
    with bundle.open("rb") as file:
        bill = json.loads(read_bundle(file).sbom)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {"numpy", "aiortc", "cryptography"} <= {one["name"] for one in bill["components"]}
    assert veilcam("keys", "rotate", bundle.parent / "repository", "targets").returncode == 0
    assert verify(bundle).returncode == 0, "what was signed before by a key that was good then"


def test_what_was_touched_does_not(bundle: Path) -> None:
    content = bytearray(bundle.read_bytes())
    content[-1] ^= 1
    bundle.write_bytes(bytes(content))
    done = verify(bundle)
    assert done.returncode == 80
    assert "CORRUPT: a payload is not the one that was signed" in done.stderr


def test_another_board_and_another_anchor(bundle: Path, tmp_path: Path) -> None:
    assert "INCOMPATIBLE" in verify(bundle, "pi5").stderr
    assert veilcam("keys", "create", tmp_path / "other").returncode == 0
    anchor = tmp_path / "other" / "metadata" / "1.root.json"
    done = veilcam("verify", bundle, "--anchor", anchor, "--board", "laptop")
    assert (done.returncode, "UNSIGNED" in done.stderr) == (80, True)


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "/nothing"],
        ["inspect", __file__],
        ["build", "/nothing", "x", "--repository", "/", "--version", "1", "--counter", "1"],
        ["keys", "create", "/proc"],
    ],
)
def test_wrong_use_is_told_in_one_line(words: list[str]) -> None:
    done = veilcam(*words)
    assert done.returncode in {2, 10, 80}
    assert "Traceback" not in done.stderr


def test_a_root_is_signed_where_its_keys_are(bundle: Path, tmp_path: Path) -> None:
    repository, vault = tmp_path / "repository", tmp_path / "vault"
    vault.mkdir()
    for number in (1, 2, 3):
        path = repository / "keys" / f"root-{number}.pem"
        path.rename(vault / path.name)
    waits = repository / "pending" / "2.root.json"
    assert "waits for root keys" in veilcam("keys", "rotate", repository, "targets").stdout
    assert not (repository / "metadata" / "2.root.json").exists()
    for number in (3, 1):
        assert veilcam("keys", "publish", repository).returncode == 2, "too few"
        signed = veilcam("keys", "sign", waits, "--key", vault / f"root-{number}.pem")
        assert signed.returncode == 0, signed.stderr
    assert veilcam("keys", "publish", repository).returncode == 0
    assert not waits.exists()
    assert veilcam("keys", "sign", repository / "metadata" / "1.root.json", "--key", bundle).returncode == 10
    assert verify(bundle).returncode == 0
