"""A folder of settings reaches groups of cameras at a real broker; canaries that refuse stop it."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from firmware.desk import open_desk
from firmware.ports import SystemClock
from firmware.remote import desired as desires
from firmware.remote.broker import Broker, BrokerOptions
from firmware.remote.desired import Desired
from firmware.remote.outbox import Outbox
from tests.remote.mosquitto import Mosquitto, running
from tests.remote.test_broker import until

FLEET = Path(__file__).resolve().parents[2] / "scripts" / "fleet"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with running(tmp_path) as broker:
        yield broker


async def camera(state: Path, mosquitto: Mosquitto, parts: AsyncExitStack) -> str:
    """Run what of a camera listens to the broker; returns its name there."""
    desk = await open_desk(state, SystemClock())
    device = desk.remote.device
    pair = await asyncio.to_thread(mosquitto.authority.issue, device)
    told = BrokerOptions(
        "localhost", mosquitto.port, mosquitto.authority.certificate, pair.certificate, pair.key
    )
    broker = Broker(device, await asyncio.to_thread(Outbox, state), lambda: told)

    async def healthy() -> bool:
        return True

    desired = await asyncio.to_thread(Desired, state, desk.settings, broker, healthy)
    for coroutine in (broker.run(), desired.run()):
        task = asyncio.ensure_future(coroutine)

        async def end(task: "asyncio.Future[None]" = task) -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        parts.push_async_callback(end)
    await until(lambda: broker.is_up)
    return device


def write(folder: Path, mosquitto: Mosquitto, groups: dict[str, tuple[list[str], dict[str, object]]]) -> None:
    (folder / "settings").mkdir(parents=True, exist_ok=True)
    lines = [
        "[broker]",
        'host = "localhost"',
        f"port = {mosquitto.port}",
        f'ca = "{mosquitto.authority.certificate}"',
        f'certificate = "{mosquitto.operator.certificate}"',
        f'key = "{mosquitto.operator.key}"',
    ]
    for name, (devices, wanted) in groups.items():
        lines += [f"[groups.{name}]", f"devices = {json.dumps(devices)}", "canaries = 1"]
        (folder / "settings" / f"{name}.json").write_text(json.dumps(wanted))
    (folder / "fleet.toml").write_text("\n".join(lines))


async def fleet(folder: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(FLEET), str(folder), *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def test_groups_are_set_and_canaries_stop_what_they_do_not_take(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desires, "HELD_S", 0.1)
    async with AsyncExitStack() as parts:
        names = [await camera(tmp_path / str(n), mosquitto, parts) for n in range(5)]
        folder = tmp_path / "fleet"
        hall: dict[str, object] = {"contact": "the hall", "host_names": ["hall.example"]}
        weak: dict[str, object] = {"hide": "faces"}
        write(folder, mosquitto, {"hall": (names[:3], hall), "door": (names[3:], weak)})
        status, told = await fleet(folder, "--group", "hall")
        assert status == 0, told
        assert [line for line in told.splitlines() if line.endswith("applied")] == [
            f"hall {name}: applied" for name in names[:3]
        ]
        status, told = await fleet(folder)
        assert status == 1
        assert told.count("as wanted") == 3
        assert f"door {names[3]}: refused (hide: this weakens privacy" in told
        assert names[4] not in told, "the canary did not take it"
        write(folder, mosquitto, {"away": (["00000000-00000000"], hall)})
        status, told = await fleet(folder, "--within", "1")
        assert (status, "silent" in told) == (1, True)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    done = subprocess.run([FLEET, tmp_path], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "fleet.toml" in done.stderr
