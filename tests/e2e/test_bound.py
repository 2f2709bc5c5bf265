"""A real camera whose keys are bound to a TPM (swtpm): it serves, and says in one line what it lacks."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.access.identity import FOLDER
from firmware.access.sealing import BOUND
from firmware.config.model import ModelCache
from firmware.resources import boards_dir
from tests.e2e.camera import camera
from tests.e2e.test_attack import status
from tests.e2e.test_identity import doctor
from tests.soft_tpm import SoftTpm

pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]


def veilcam(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firmware", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The laptop's board file, with a TPM."""
    path = tmp_path / "bound.toml"
    path.write_text('keys = "tpm"\n' + (boards_dir() / "laptop.toml").read_text())
    return path


def test_a_bound_camera_runs_and_tells_what_it_lacks(
    tpm: SoftTpm, board: Path, tmp_path: Path, model_cache: ModelCache
) -> None:
    state = tmp_path / "state"
    with camera(state, "--board", str(board)) as running:
        device = asyncio.run(status(running.url))["device"]
        assert (state / FOLDER / BOUND).exists()
        assert device in str(doctor(state)["detail"])
        told = veilcam("ota", "status", "--state", state, "--board", board)
        assert (told.returncode, told.stdout.splitlines()[-1]) == (0, "no update yet"), told.stderr
        tpm.stop()
        # It has its keys by now: what goes away with the TPM is updates.
        told = veilcam("ota", "status", "--state", state, "--board", board)
        (line,) = told.stderr.splitlines()
        assert told.returncode == 80
        assert "no TPM at" in line
        assert asyncio.run(status(running.url))["device"] == device
    done = veilcam("run", "--board", board, "--state", state, "--listen", "127.0.0.1:0")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, "no TPM at" in line) == (16, True)
    told = doctor(state)
    assert not told["ok"]
    assert "no TPM at" in str(told["detail"])
    tpm.start()
    with camera(state) as running:
        assert asyncio.run(status(running.url))["device"] == device, "whatever board it is started as"
