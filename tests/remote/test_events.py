"""What a camera tells its broker: as the schema has it, once it has lasted, and nothing while it flickers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware.remote.events as told
from firmware.access.record import read_head
from firmware.audit import Act
from firmware.config.settings import Settings
from firmware.core.counting import DWELLS_S, LineCounts, Window, ZoneCounts
from firmware.core.frames import Verdict
from firmware.core.tampering import Tampering
from firmware.desk import Desk, open_desk
from firmware.ports import SystemClock
from firmware.remote.broker import Broker
from firmware.remote.events import KINDS, Events, Facts, Sign, blind_share, event, telemetry, update_of
from firmware.remote.outbox import Outbox
from firmware.update.record import Outcome
from tests.remote.mosquitto import Mosquitto, running
from tests.remote.schema import SCHEMA, require
from tests.remote.test_broker import connected, nowhere, options, tool, until

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,23}", fullmatch=True)
COUNTS = st.none() | st.integers(0, 10**6)
ZONES = st.builds(ZoneCounts, COUNTS, st.tuples(*[COUNTS] * (len(DWELLS_S) + 1)))
WINDOWS = st.builds(
    Window,
    st.floats(0, 10**6),
    st.floats(0, 1),
    st.dictionaries(NAMES, ZONES, max_size=8),
    st.dictionaries(NAMES, st.builds(LineCounts, COUNTS, COUNTS), max_size=8),
)
AT = "2026-01-02T03:04:05Z"


@given(WINDOWS, st.none() | st.floats(0, 1))
def test_every_window_is_as_the_schema_has_it(window: Window, blind: float | None) -> None:
    require("telemetry", telemetry(window, AT, blind))


def test_every_event_is_as_the_schema_has_it_and_no_other() -> None:
    for kind, rule in KINDS.items():
        assert SCHEMA["$defs"][kind]["enum"] == sorted(rule.values, key=SCHEMA["$defs"][kind]["enum"].index)
        for value in rule.values:
            require("event", event(kind, value, AT))
        with pytest.raises(AssertionError):
            require("event", event(kind, "somebody", AT))
    for wrong in ({"box": [1, 2]}, {"name": "x"}, {"count": 1}):
        content = json.loads(event("raw", "began", AT)) | wrong
        with pytest.raises(AssertionError):
            require("event", json.dumps(content).encode())
    window = json.loads(telemetry(Window(60, 1, {}, {"door": LineCounts(None, 3)}), AT, None))
    window["lines"]["door"]["to_left"] = {"count": 2, "suppressed": True}
    with pytest.raises(AssertionError):
        require("telemetry", json.dumps(window).encode())


@given(st.lists(st.sampled_from(["shown", "blind"]), max_size=400))
def test_flicker_makes_no_flood_and_what_lasts_is_told(values: list[str]) -> None:
    rule = KINDS["verdict"]
    sign = Sign(rule, "shown")
    times = [n / 2 for n, value in enumerate(values) if sign.changed(value, n / 2)]
    assert all(after - before >= rule.rests_s for before, after in pairwise(times))
    assert all(
        len(set(values[max(0, round(2 * (at - rule.lasts_s))) : round(2 * at) + 1])) == 1 for at in times
    )
    last = len(values) / 2
    for n in range(100):
        sign.changed("blind", last + n / 2)
    assert sign.told == "blind"


def test_how_far_an_update_is_is_read_from_what_the_agent_says() -> None:
    assert update_of({"phase": "armed", "outcome": "confirmed"}) == "armed"
    assert {update_of({"phase": "idle", "outcome": one}) for one in Outcome} == {
        "none",
        "confirmed",
        "rolled_back",
    }
    assert set(KINDS["update"].values) >= {one.value for one in Outcome}


def test_the_share_of_hidden_pictures() -> None:
    before = {Verdict.BLIND: 1}
    assert blind_share(before, before) is None
    assert blind_share(before, {Verdict.BLIND: 2, Verdict.VERIFIED: 3}) == 0.25


@dataclass
class Fake:
    """A camera whose state is set by hand."""

    desk: Desk
    state: Path
    released: dict[Verdict, int] = field(default_factory=lambda: {Verdict.VERIFIED: 1})
    verdict: Verdict = Verdict.VERIFIED
    raw: bool = False
    tampered: Tampering = Tampering.NONE
    phase: str = "idle"

    def status(self) -> SimpleNamespace:
        self.released[self.verdict] = self.released.get(self.verdict, 0) + 1
        return SimpleNamespace(released=dict(self.released), failed=False)

    def facts(self) -> Facts:
        window = Window(60, 1, {}, {"door": LineCounts(None, 3)})
        updates = SimpleNamespace(status=lambda: {"phase": self.phase, "outcome": "none"})
        keys = self.desk.identity.keys
        return Facts(
            self.status,  # type: ignore[arg-type]
            lambda: self.raw,
            lambda: self.tampered,
            lambda: window,
            updates,  # type: ignore[arg-type]
            self.state,
            self.desk.audit,
            keys,
        )


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "LOOK_S", 0.05)
    monkeypatch.setattr(told, "ASK_S", 0.2)
    monkeypatch.setattr(told, "WINDOW_S", 0.4)


@asynccontextmanager
async def telling(fake: Fake, broker: Broker, mqtt: str | None = "broker:8883") -> AsyncIterator[None]:
    settings = Settings(mqtt=mqtt)
    events = await asyncio.to_thread(Events, broker, fake.facts(), lambda: settings, SystemClock())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(events.run())
        yield
        task.cancel()


async def lines(mosquitto: Mosquitto, count: int, wait_s: int = 12) -> list[tuple[str, bytes]]:
    words = ("-t", "veilcam/#", "-q", "1", "-C", str(count), "-W", str(wait_s), "-F", "%t %r %p")
    found = await tool(mosquitto, "sub", *words)
    parted = [line.split(" ", 2) for line in found.splitlines()]
    return [(topic.split("/", 2)[2], payload.encode()) for topic, _, payload in parted]


async def test_changes_are_told_once_kept_over_a_restart_and_the_head_is_the_records_own(
    tmp_path: Path,
) -> None:
    await asyncio.to_thread((tmp_path / "broker").mkdir)
    desk = await open_desk(tmp_path / "state", SystemClock())
    fake, device = Fake(desk, tmp_path / "state"), desk.remote.device
    away = Broker(device, await asyncio.to_thread(Outbox, tmp_path / "state"), nowhere)
    async with telling(fake, away):
        await asyncio.sleep(0.5)
        assert away.waiting == 0, "nothing has changed"
        fake.raw, fake.tampered, fake.phase = True, Tampering.COVERED, "armed"
        await until(lambda: away.waiting == 3)
        fake.raw = False
        await until(lambda: away.waiting == 4)
        await asyncio.sleep(0.5)
        assert away.waiting == 4, "what flickers within its rest is told later, and counts wait for nobody"
    mosquitto = await asyncio.to_thread(Mosquitto, tmp_path / "broker")
    await asyncio.to_thread(mosquitto.start)
    try:
        seen = await asyncio.to_thread(options, mosquitto, device)
        back = Broker(device, await asyncio.to_thread(Outbox, tmp_path / "state"), lambda: seen)
        listening = asyncio.create_task(lines(mosquitto, 13))
        await asyncio.sleep(0.5)
        async with connected(back), telling(fake, back):
            await until(lambda: not back.waiting)
            await desk.audit.record(Act.LOG_OUT, "nobody", {})
            got = await listening
            head = dict(await lines(mosquitto, 4, 2))["audit/head"]
            assert read_head(head).head == desk.audit.head
            assert read_head(head).device == desk.identity.fingerprint
    finally:
        await asyncio.to_thread(mosquitto.stop)
    events = [json.loads(payload) for topic, payload in got if topic.startswith("event/")]
    assert sorted((one["kind"], one["now"]) for one in events) == [
        ("raw", "began"),
        ("raw", "ended"),
        ("tampered", "covered"),
        ("update", "armed"),
    ]
    for topic, payload in got:
        if topic not in ("status", "update/status"):
            require({"audit/head": "head"}.get(topic, topic.split("/")[0]), payload)
    state = [json.loads(payload) for topic, payload in got if topic == "state"][-1]
    assert (state["raw"], state["tampered"], state["update"]) == ("ended", "covered", "armed")
    assert "telemetry" in dict(got)


async def test_without_a_broker_nothing_is_written_for_one(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path, SystemClock())
    fake = Fake(desk, tmp_path, raw=True)
    broker = Broker(desk.remote.device, await asyncio.to_thread(Outbox, tmp_path), nowhere)
    async with telling(fake, broker, None):
        await asyncio.sleep(0.5)
    assert broker.waiting == 0
    assert "audit/head" not in str(broker._kept)


async def test_a_telemetry_message_of_a_camera_that_is_away_is_dropped(tmp_path: Path) -> None:
    with running(tmp_path) as mosquitto:
        seen = await asyncio.to_thread(options, mosquitto)
        broker = Broker("0123abcd-4567ef01", await asyncio.to_thread(Outbox, tmp_path / "s"), lambda: seen)
        broker.tell("telemetry", b"old")
        listening = asyncio.create_task(lines(mosquitto, 2, 4))
        await asyncio.sleep(0.5)
        async with connected(broker):
            broker.tell("telemetry", b"new")
            got = await listening
        assert [payload for topic, payload in got if topic == "telemetry"] == [b"new"]
        assert dict(await lines(mosquitto, 2, 1)).keys() == {"status"}, "and it is not retained"
