"""The load program in small, with a real Mosquitto, which it kills, starts again and takes with it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.bench import fleet
from firmware.bench.fleet import FleetOptions, NamedBroker, busiest, measure_fleet
from firmware.bench.fleet_broker import LoadBroker
from firmware.errors import ConfigError, NetworkUnavailable
from firmware.remote import broker as brokers


def silent(what: str, done: int) -> None:
    """Nobody watches."""


def children() -> list[str]:
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return told.split()


@pytest.mark.timeout(180)
def test_a_few_devices_are_told_cut_off_and_come_back(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "firmware", "bench", "fleet", "--json"]
    few = [*command, "--devices", "5", "--spread", "1", "--away", "0.5", "--within", "150"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(few, env=env, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["devices"] == 5
    assert (
        0
        < told["settings_p50_s"]
        <= told["settings_p95_s"]
        <= told["settings_p99_s"]
        <= told["settings_all_s"]
    )
    assert 1 <= told["connections_per_s"] <= 5
    assert told["refused"] == 0
    again = told["restart"]
    assert again["lost"] == 0
    assert again["away_s"] >= 0.5
    assert again["all_heard_s"] >= again["all_up_s"] > 0
    assert list(tmp_path.iterdir()) == [], "it takes its folder with it"


async def test_a_named_broker_is_loaded_not_killed_and_left_as_it_was(tmp_path: Path) -> None:
    broker = await asyncio.to_thread(LoadBroker, tmp_path)
    await broker.start()
    key = tmp_path / "authority.key"
    await asyncio.to_thread(write_key, broker, key)
    try:
        named = NamedBroker("localhost", broker.port, broker.authority.certificate, key)
        report = await measure_fleet(FleetOptions(3, 1, spread_s=0.0, within_s=60.0, broker=named), silent)
        assert report.restart is None
        assert report.devices == 3
        assert broker._running.returncode is None
        assert await asyncio.to_thread(retained, broker) == "", "nothing of the devices is left"
    finally:
        await broker.stop()


def write_key(broker: LoadBroker, key: Path) -> None:
    held = broker.authority._key
    key.write_bytes(held.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    broker.authority.issue("operator")


def retained(broker: LoadBroker) -> str:
    pki = broker.authority.certificate.parent
    told = subprocess.run(
        [
            "mosquitto_sub", "-h", "localhost", "-p", str(broker.port),
            "--cafile", str(pki / "authority.pem"),
            "--cert", str(pki / "operator.pem"), "--key", str(pki / "operator.key"),
            "-t", "veilcam/#", "-W", "1",
        ],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    assert told.returncode in (0, 27), told.stderr
    return told.stdout


async def test_it_gives_up_in_time_says_how_far_it_was_and_leaves_nobody_behind() -> None:
    before = await asyncio.to_thread(children)
    with pytest.raises(
        NetworkUnavailable, match=r"not done within 3 s: up, 0 of 2; allow more with --within"
    ):
        await measure_fleet(FleetOptions(2, 1, spread_s=3600.0, within_s=3.0), silent)
    assert await asyncio.to_thread(children) == before


def commands() -> list[str]:
    """The command lines of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_it_ends_its_broker_and_its_devices(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "firmware", "bench", "fleet", "--devices", "2", "--spread", "3600"]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        until = time.monotonic() + 30
        while not any("mosquitto" in one and str(tmp_path) in one for one in commands()):
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert [one for one in commands() if str(tmp_path) in one] == []
    assert list(tmp_path.iterdir()) == []


async def test_a_process_that_ends_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet.sys, "executable", "/bin/false")
    with pytest.raises(NetworkUnavailable, match="a process of devices has ended"):
        await measure_fleet(FleetOptions(2, 1, within_s=30.0), silent)


async def test_a_wrong_authority_is_named(tmp_path: Path) -> None:
    named = NamedBroker("localhost", 1, tmp_path / "none.pem", tmp_path / "none.key")
    with pytest.raises(ConfigError, match="cannot be read"):
        await measure_fleet(FleetOptions(1, 1, broker=named), silent)


def test_the_busiest_second_is_that_of_a_window_that_slides() -> None:
    assert busiest([]) == 0
    assert busiest([(0.0, 10)]) == 10
    assert busiest([(0.0, 1), (0.5, 2), (0.9, 5), (1.4, 9), (3.0, 10)]) == 8
    assert busiest([(float(n), 7 * n) for n in range(50)]) == 7
    assert FleetOptions(1).spread_s == brokers.SPAN_S
