"""The page, the programs' status and `veilcam doctor` name the same device."""

import asyncio
import json
import re
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from firmware.access.identity import CERTIFICATE, FOLDER
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


async def healthy(url: str, trusted: Path) -> str:
    """Ask over HTTPS, trusting one certificate alone."""
    context = ssl.create_default_context(cafile=str(trusted))
    async with aiohttp.ClientSession() as http, http.get(f"{url}/healthz", ssl=context) as answer:
        return await answer.text()


def test_beyond_loopback_it_serves_https_with_its_own_certificate(
    tmp_path: Path, model_cache: ModelCache
) -> None:
    state = tmp_path / "state"
    run = [sys.executable, "-m", "firmware", "run", "--board", "laptop", "--listen", "0.0.0.0:0"]
    command = [*run, "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = process.stdout.readline().split()
            assert ready[0] == "ready"
            scheme, _, rest = ready[1].partition("://")
            assert scheme == "https"
            url = f"https://127.0.0.1:{rest.rpartition(':')[2]}"
            assert "status" in asyncio.run(healthy(url, state / FOLDER / CERTIFICATE))
        finally:
            process.terminate()


def test_the_claim_code_is_shown_at_the_first_start_alone(tmp_path: Path, model_cache: ModelCache) -> None:
    said = []
    for start in range(2):
        log = tmp_path / f"log{start}"
        with camera(tmp_path / "state", log=log) as running:
            asyncio.run(status(running.url))
        said.append(log.read_text(encoding="utf-8"))
    (line,) = [line for line in said[0].splitlines() if "claim code" in line]
    assert re.fullmatch(r"veilcam: claim code, shown this once: (\w{4}-){3}\w{4}", line)
    assert said[0].count("\u2588") + said[0].count("\u2584") > 50, "and as a QR code"
    assert "claim code" not in said[1]


def test_a_service_puts_the_claim_code_where_it_is_told_and_another_at_each_start(
    tmp_path: Path, model_cache: ModelCache
) -> None:
    shown, codes = tmp_path / "claim", []
    for start in range(2):
        log = tmp_path / f"log{start}"
        with camera(tmp_path / "state", "--claim-code", str(shown), log=log) as running:
            asyncio.run(status(running.url))
        assert "claim" not in log.read_text(encoding="utf-8"), "a service's standard error is a log"
        assert shown.stat().st_mode & 0o777 == 0o600
        address, code, *drawn = shown.read_text(encoding="utf-8").splitlines()
        assert address == f"{running.url}/claim"
        assert re.fullmatch(r"claim code: (\w{4}-){3}\w{4}", code)
        assert len(drawn) > 10, "and as a QR code"
        codes.append(code)
        shown.unlink()
    assert codes[0] != codes[1]
