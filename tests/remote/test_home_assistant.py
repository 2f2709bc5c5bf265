"""A camera is announced to Home Assistant with documented fields alone; a real one reads them."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from firmware.config.settings import Settings
from firmware.core.counting import DWELLS_S, Window, ZoneCounts
from firmware.remote.broker import Broker
from firmware.remote.events import KINDS, telemetry
from firmware.remote.home_assistant import announce, discovery
from firmware.remote.outbox import Outbox
from tests.remote.mosquitto import running
from tests.remote.test_broker import DEVICE, connected, options, tool, until

INTERPRETER = os.environ.get("VEILCAM_HOME_ASSISTANT", "")
"""The Python of an installed Home Assistant (PyPI: homeassistant, with paho-mqtt)."""

COMMON = {
    "name", "unique_id", "qos", "device", "origin", "state_topic", "value_template", "device_class", "icon",
    "entity_category", "availability_topic", "payload_available", "payload_not_available", "expire_after",
}  # fmt: skip
FIELDS = {
    "sensor": COMMON | {"state_class", "unit_of_measurement"},
    "binary_sensor": COMMON | {"payload_on", "payload_off"},
}
"""Fields of Home Assistant's documentation of both integrations that are used here."""

ZONE = {"name": "items", "corners": ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4))}


def test_every_announcement_has_what_is_documented_and_nothing_else() -> None:
    told = discovery(DEVICE, ["till", "door"])
    assert len(told) == 6
    names = set()
    for topic, payload in told.items():
        prefix, component, device, name, last = topic.split("/")
        assert (prefix, device, last) == ("homeassistant", DEVICE, "config")
        config = json.loads(payload)
        assert config.keys() <= FIELDS[component]
        assert config["state_topic"].startswith(f"veilcam/{DEVICE}/")
        assert config["device"]["identifiers"] == [f"veilcam_{DEVICE}"]
        assert ("availability_topic" in config) == (name != "status"), "that it is away is what this one says"
        names.add(config["unique_id"])
    assert len(names) == len(told)


async def test_it_is_announced_and_taken_back_as_the_settings_say(tmp_path: Path) -> None:
    async def topics() -> set[str]:
        found = await tool(mosquitto, "sub", "-t", "homeassistant/#", "-W", "1", "-F", "%r %t")
        assert all(line.startswith("1 ") for line in found.splitlines())
        return {line[2:] for line in found.splitlines()}

    with running(tmp_path) as mosquitto:
        seen = await asyncio.to_thread(options, mosquitto)
        broker = Broker(DEVICE, await asyncio.to_thread(Outbox, tmp_path / "s"), lambda: seen)
        on = Settings.model_validate({"home_assistant": True, "zones": [ZONE]})
        follow = announce(broker, Settings())
        async with connected(broker):
            assert await topics() == set()
            follow(on)
            await until(lambda: not broker._unsent)
            assert await topics() == set(discovery(DEVICE, ["items"]))
            assert broker.refused == 0, "the shipped access list lets a camera announce itself"
            follow(on.model_copy(update={"zones": ()}))
            await until(lambda: not broker._unsent)
            assert await topics() == set(discovery(DEVICE, []))
            follow(Settings())
            await until(lambda: not broker._unsent)
            assert await topics() == set()
            await until(lambda: not any("homeassistant" in topic for topic in broker._kept))


@pytest.mark.skipif(not INTERPRETER, reason="VEILCAM_HOME_ASSISTANT names no interpreter")
def test_a_real_home_assistant_takes_the_announcements_and_shows_what_is_told() -> None:
    dwell = (0,) * (len(DWELLS_S) + 1)
    windows = [
        telemetry(Window(60, 1, {"items": ZoneCounts(people, dwell)}, {}), "2026-01-02T03:04:05Z", 0)
        for people in (5, None, 0)
    ]
    calm = {kind: rule.values[0] for kind, rule in KINDS.items()}
    other = {"verdict": "blind", "tampered": "moved", "raw": "began"}
    payloads = {
        f"veilcam/{DEVICE}/telemetry": [window.decode() for window in windows],
        f"veilcam/{DEVICE}/state": [json.dumps(calm), json.dumps(calm | other)],
        f"veilcam/{DEVICE}/status": ["online"],
    }
    configs = {topic: json.loads(payload) for topic, payload in discovery(DEVICE, ["items"]).items()}
    done = subprocess.run(
        [INTERPRETER, str(Path(__file__).with_name("home_assistant.py"))],
        input=json.dumps({"configs": configs, "payloads": payloads}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "people_items": ["5", "None", "0"],
        "verdict": ["shown", "blind"],
        "tampered": ["OFF", "ON"],
        "raw": ["OFF", "ON"],
        "status": ["online"],
    }
