"""A machine that lacks a package: doctor names it, other verbs say so in one line, nothing is a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.cli.packages import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def veilcam(folder: Path, package: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command where one package cannot be imported."""
    (folder / "sitecustomize.py").write_text(BLOCKER.format(package=package), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    command = [sys.executable, "-m", "firmware", *args]
    return subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_doctor_names_the_missing_package_and_how_to_install_it(package: str, tmp_path: Path) -> None:
    done = veilcam(tmp_path, package, "doctor", "--board", "laptop", "--json")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    lacking = [one["detail"] for one in json.loads(done.stdout) if not one["ok"] and one["what"] == "package"]
    assert lacking == [
        f"{PACKAGES[package]} is missing; run scripts/setup, or: pip install {PACKAGES[package]}"
    ]


@pytest.mark.parametrize("package", ["aiortc", "pydantic", "cv2"])
def test_other_verbs_say_in_one_line_what_is_missing(package: str, tmp_path: Path) -> None:
    done = veilcam(tmp_path, package, "run", "--state", str(tmp_path / "state"))
    assert done.returncode == 20
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"veilcam: veilcam run needs the package {PACKAGES[package]!r}")


def test_a_token_needs_a_package_that_a_camera_does_without(tmp_path: Path) -> None:
    create = ("ota", "keys", "create", str(tmp_path / "repository"))
    done = veilcam(tmp_path, "pkcs11", *create, "--token", "/module.so", "--token-label", "any")
    assert (done.returncode, done.stderr.strip()) == (
        20,
        "veilcam: veilcam ota needs the package 'python-pkcs11'; pip install python-pkcs11",
    )
    assert not (tmp_path / "repository").exists()
    assert veilcam(tmp_path, "pkcs11", *create).returncode == 0
    assert "pkcs11" not in veilcam(tmp_path, "pkcs11", "doctor", "--board", "laptop").stdout


def test_help_needs_nothing(tmp_path: Path) -> None:
    for package in ("numpy", "pydantic"):
        done = veilcam(tmp_path, package, "--help")
        assert done.returncode == 0
        assert "what this machine has and lacks" in done.stdout


def test_a_verb_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    done = veilcam(tmp_path, "none", "dance")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_a_module_of_ours_that_is_missing_stays_a_traceback(tmp_path: Path) -> None:
    done = veilcam(tmp_path, "no_package_of_ours", "--help")
    assert done.returncode == 0
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['firmware.app'] = None", encoding="utf-8"
    )
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "firmware", "run", "--help"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
