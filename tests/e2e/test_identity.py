"""The page, the programs' status and `veilcam doctor` name the same device."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.config.model import ModelCache
from tests.e2e.camera import camera
from tests.e2e.test_attack import status

pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]


def doctor(state: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "firmware", "doctor", "--json", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found,) = [finding for finding in json.loads(done.stdout) if finding["what"] == "device"]
    return dict(found)


def test_it_is_known_by_one_fingerprint(tmp_path: Path, model_cache: ModelCache) -> None:
    state = tmp_path / "state"
    assert "no keys yet" in str(doctor(state)["detail"])
    assert not state.exists(), "looking makes nothing"
    prints = set()
    for _ in range(2):
        with camera(state) as running:
            prints.add(asyncio.run(status(running.url))["device"])
    (device,) = prints
    assert len(device) == 71
    told = doctor(state)
    assert told["ok"]
    assert device in str(told["detail"])
