"""A real camera before the built-in scene, and all that a real broker hears of it: nothing personal in it."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.access.record import read_head
from firmware.audit import Audit, Head
from firmware.config.model import ModelCache
from firmware.config.settings import Settings
from firmware.desk import Desk, open_desk
from firmware.ports import SystemClock
from firmware.remote import home_assistant
from firmware.state import own
from tests.remote.mosquitto import Mosquitto, running
from tests.remote.schema import require

pytestmark = [pytest.mark.models, pytest.mark.timeout(180)]

HALF = {"name": "left_half", "corners": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
REST = {"name": "right_half", "corners": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}
LINES = [{"name": f"at_{n}", "begin": [n / 100, 1], "end": [n / 100, 0]} for n in (30, 38, 46, 54, 62, 70)]
WINDOW_S, RUN_S = 6.0, 26.0

PROGRAM = f"""
import firmware.remote.events as events
events.WINDOW_S = {WINDOW_S}
from firmware.__main__ import main
raise SystemExit(main())
"""
"""The camera as it is; only its minute is shorter."""

PERSONAL = re.compile(
    r"box|bbox|track|ident|embed|template|descriptor|vector|face|person|picture|image|jpeg|holder|purpose|"
    r"approver|session|who\b",
    re.IGNORECASE,
)
"""What no key of a payload may be called."""
LONGEST_TEXT = 100
OTHERS = frozenset({"status", "settings/reported", "update/status"})
"""Topics that say what the owner has set, and how the connection and updates are."""


@dataclass(frozen=True)
class Heard:
    """One message; `name` is below the camera's own topic, or whole where it is another program's."""

    name: str
    payload: bytes


def prepare(state: Path, mosquitto: Mosquitto, least: int) -> Desk:
    """Make a camera that is enrolled at the broker and counts."""

    async def desk() -> Desk:
        told = {
            "mqtt": f"localhost:{mosquitto.port}",
            "mqtt_ca": mosquitto.authority.certificate,
            "home_assistant": True,
            "zones": [HALF, REST],
            "lines": LINES,
            "least_count": least,
        }
        return await open_desk(state, SystemClock(), Settings.model_validate(told))

    with own(state):
        made = asyncio.run(desk())
        key = x509.load_pem_x509_csr(made.remote.request().encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        made.remote.install(mosquitto.authority.sign(made.remote.device, key).decode())
    return made


@contextmanager
def camera(state: Path) -> Iterator[None]:
    """Run it; it has to end well."""
    words = ["run", "--board", "laptop", "--listen", "127.0.0.1:0", "--state", str(state)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "VEILCAM_ICE_ADDRESSES": "loopback"},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("ready ")
        yield
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


def heard(state: Path, mosquitto: Mosquitto, device: str) -> list[Heard]:
    """Run the camera and return every message that the broker had meanwhile."""
    pair = mosquitto.operator
    words = ["mosquitto_sub", "-h", "localhost", "-p", str(mosquitto.port), "-V", "5", "-q", "1", "-t", "#"]
    files = ["--cafile", str(mosquitto.authority.certificate), "--cert", str(pair.certificate)]
    told = mosquitto.folder / "heard"
    with told.open("wb") as out:
        listening = subprocess.Popen([*words, *files, "--key", str(pair.key), "-F", "%t %x"], stdout=out)
    try:
        with camera(state):
            time.sleep(RUN_S)
        time.sleep(0.5)
    finally:
        listening.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            listening.wait(5)
    parted = [line.partition(" ")[::2] for line in told.read_text().splitlines()]
    return [Heard(topic.removeprefix(f"veilcam/{device}/"), bytes.fromhex(hex_)) for topic, hex_ in parted]


def leaves(told: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every value in JSON that is no list and no object, with the key that it is under."""
    if isinstance(told, dict):
        for name, value in told.items():
            yield str(name), None
            yield from leaves(value, str(name))
    elif isinstance(told, list):
        for value in told:
            yield from leaves(value, key)
    else:
        yield key, told


def require_closed(one: Heard, device: str, announced: dict[str, bytes]) -> None:
    """Fail unless a message is of the closed set of what a camera tells."""
    if one.name in OTHERS:
        return
    if one.name.startswith("homeassistant/"):
        assert announced[one.name] == one.payload
        return
    kind = {"audit/head": "head"}.get(one.name, one.name.split("/")[0])
    require(kind, one.payload)
    if kind == "event":
        assert json.loads(one.payload)["kind"] == one.name.split("/")[1]


def require_impersonal(one: Heard, names: set[str]) -> None:
    """Fail where a message has a key or a value that could be about somebody."""
    assert not any(magic in one.payload for magic in (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"\0\0\0\1"))
    text = one.payload.decode("ascii")
    if one.name == "status":
        assert text in ("online", "offline")
        return
    for key, value in leaves(json.loads(text)):
        if one.name not in OTHERS and not one.name.startswith("homeassistant/"):
            assert key in names or not PERSONAL.search(key), (one.name, key)
            assert not (isinstance(value, str) and len(value) > LONGEST_TEXT), (one.name, key)


@pytest.mark.parametrize("least", [1, 3])
def test_nothing_personal_leaves(
    model_cache: ModelCache, tmp_path: Path, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "STALE_S", round(3 * WINDOW_S))
    (tmp_path / "broker").mkdir()
    with running(tmp_path / "broker") as mosquitto:
        desk = prepare(tmp_path / "state", mosquitto, least)
        device = desk.remote.device
        messages = heard(tmp_path / "state", mosquitto, device)
    announced = home_assistant.discovery(device, ["left_half", "right_half"])
    names = {str(one["name"]) for one in (HALF, REST, *LINES)}
    for one in messages:
        require_closed(one, device, announced)
        require_impersonal(one, names)
    found = {one.name for one in messages}
    assert found >= {"status", "state", "telemetry", "audit/head", *announced}
    windows = [json.loads(one.payload) for one in messages if one.name == "telemetry"]
    assert len(windows) >= 3
    counts = [
        count["count"]
        for window in windows
        for part in (*window["lines"].values(), *(zone["dwell"] for zone in window["zones"].values()))
        for count in part.values()
    ] + [zone["people"]["count"] for window in windows for zone in window["zones"].values()]
    assert not any(count in range(1, least) for count in counts)
    # The scene's two people walk all the time: they are counted, or withheld.
    assert any(count is None or count > 0 for count in counts)
    assert (None in counts) == (least > 1)
    head = read_head([one.payload for one in messages if one.name == "audit/head"][-1])
    assert head.device == desk.identity.fingerprint
    assert head.head == newest(tmp_path / "state", desk)


def newest(state: Path, desk: Desk) -> Head:
    return Audit(state, desk.identity.keys, SystemClock()).head
