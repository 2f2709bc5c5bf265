"""A command is carried out once, if the owner allows it, and whoever asked is told."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.core.frames import RedactedFrame, Verdict
from firmware.desk import Desk, open_desk
from firmware.errors import OutputError
from firmware.pipeline.snapshot import MOST_BYTES, Snapshots
from firmware.ports import SystemClock
from firmware.remote import actions
from firmware.remote.actions import Offered, offer_all
from firmware.remote.broker import Broker, Incoming
from firmware.remote.commands import FILE, MOST_KEPT, Commands
from firmware.remote.outbox import Outbox
from tests.remote.test_desired import nowhere, until


@dataclass
class Asked:
    """A camera that is asked for things, and what it has done."""

    desk: Desk
    broker: Broker
    outbox: Outbox
    commands: Commands
    restarts: list[float] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, name: str, id_: str = "one", **more: object) -> None:
        told = {"id": id_, "expires": int(time.time()) + 60, "args": {}} | more
        await self.take(f"command/{name}", json.dumps(told).encode())

    async def take(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        await self.commands.take(Incoming(topic, payload, retained, b"word"))

    async def answers(self, count: int = 1) -> list[dict[str, object]]:
        """What was answered, in order; the answers are taken out."""
        await until(lambda: len(self.outbox) >= count)
        told = []
        while (first := self.outbox.first()) is not None:
            number, message = first
            assert message.correlation == b"word"
            content = dict(json.loads(message.payload))
            assert message.topic.endswith(f"/result/{content['id']}")
            told.append(content)
            await asyncio.to_thread(self.outbox.sent, number)
        return told


@asynccontextmanager
async def asked(state: Path) -> AsyncIterator[Asked]:
    desk = await open_desk(state, SystemClock())
    outbox = await asyncio.to_thread(Outbox, state)
    broker = Broker(desk.remote.device, outbox, nowhere)
    commands = await asyncio.to_thread(Commands, state, broker, desk.settings, desk.audit, SystemClock())
    made = Asked(desk, broker, outbox, commands)

    async def picture() -> bytes:
        await made.held.wait()
        return b"\xff\xd8 picture"

    about = {"device": desk.identity.fingerprint, "status": {"uptime_s": 3.0}}
    restart = lambda: made.restarts.append(time.monotonic())  # noqa: E731 - one line is plain here
    offer_all(commands, Offered(desk.settings, desk.updates, lambda: about, picture, restart))
    running = asyncio.ensure_future(commands.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_command_is_done_once_and_answered_as_often_as_it_is_asked(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        for _ in range(3):
            await made.ask("restart")
        told = await made.answers(3)
        # In whatever order: an answer that was begun may come after the one that it is done.
        assert {one["state"] for one in told} in ({"done"}, {"begun", "done"})
        await until(lambda: len(made.restarts) == 1)
    async with asked(tmp_path) as again:
        await again.ask("restart")
        assert (await again.answers())[0]["state"] == "done"
        assert again.restarts == []


async def test_a_command_that_a_restart_came_into_is_not_tried_again(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        await made.desk.settings.change("console", {"contact": "me"})
        allowed = (*made.desk.settings().mqtt_commands, "snapshot")
        made.commands._settings = lambda: made.desk.settings().model_copy(update={"mqtt_commands": allowed})
        await made.ask("snapshot")
        await until(made.commands._asked.empty)
    async with asked(tmp_path) as again:
        await again.ask("snapshot")
        (told,) = await again.answers()
        assert told["state"] == "failed"
        assert "started again meanwhile" in str(told["reason"])


async def test_a_picture_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PICTURE_S", 0.1)
    async with asked(tmp_path) as made:
        allowed = made.desk.settings().model_copy(update={"mqtt_commands": ("snapshot",)})
        made.commands._settings = lambda: allowed
        await made.ask("snapshot")
        (told,) = await made.answers()
        assert (told["state"], "no picture comes" in str(told["reason"])) == ("refused", True)


async def test_an_answer_that_cannot_be_kept_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def full(message: object) -> None:
        tried.append(message)
        raise OutputError("no space; free some")

    async with asked(tmp_path) as made:
        with monkeypatch.context() as patched:
            patched.setattr(made.outbox, "put", full)
            await made.ask("identify", "lost")
            await until(lambda: len(tried) == 1)
        await made.ask("identify", "next")
        assert (await made.answers())[0]["id"] == "next"


async def test_only_what_the_owner_allows_is_done(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        await made.ask("snapshot", "a")
        await made.ask("format", "b")
        (first, second) = await made.answers(2)
        assert (first["state"], second["state"]) == ("refused", "refused")
        assert "mqtt_commands" in str(first["reason"])
        assert "no such command" in str(second["reason"])
        await made.desk.settings.change("console", {"mqtt_commands": ["identify"]})
        await made.ask("restart", "c")
        await made.ask("identify", "d")
        told = {one["id"]: one for one in await made.answers(2)}
        assert told["c"]["state"] == "refused"
        assert told["d"]["device"] == made.desk.identity.fingerprint


async def test_a_lockdown_makes_the_camera_as_private_as_it_can_be(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        await made.ask("lockdown")
        (told,) = await made.answers()
        assert told["changed"] == ["viewing", "raw"]
        now = made.desk.settings()
        assert (now.hide, now.viewing, now.raw) == ("people", "login", "never")


async def test_what_is_sent_for_support_names_nobody(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        await made.desk.settings.change(
            "console", {"contact": "Ann Other, room 7", "host_names": ["ann.home"]}
        )
        await made.ask("support")
        (told,) = await made.answers()
        assert told["state"] == "done"
        assert "Ann" not in json.dumps(told)
        assert "ann.home" not in json.dumps(told)
        scrubbed = told["settings"]
        assert isinstance(scrubbed, Mapping)
        assert scrubbed["hide"] == "people"


async def test_an_offer_of_an_update_is_held_to_what_updates_are_held_to(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        args = {"url": "https://127.0.0.1:1/nothing.vup"}
        content = {"id": "u", "expires": int(time.time()) + 60, "args": args}
        await made.take("update/offer", json.dumps(content).encode(), retained=True)
        (told,) = await made.answers()
        assert told["state"] == "failed"
        assert "NO_ANCHOR" in str(told["reason"]) or "UNAVAILABLE" in str(told["reason"])
        await made.ask("update", "v", args={"url": "file:///etc/passwd"})
        (told,) = await made.answers()
        assert told["state"] == "refused"


async def test_too_many_at_once_are_asked_to_come_again(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        allowed = made.desk.settings().model_copy(update={"mqtt_commands": ("snapshot",)})
        made.commands._settings = lambda: allowed
        for number in range(12):
            await made.ask("snapshot", str(number))
            await asyncio.sleep(0)
        busy = await made.answers(4)
        assert {str(one["reason"]) for one in busy} == {"busy; ask again later"}
        made.held.set()
        done = await made.answers(12 - len(busy))
        assert {base64.b64decode(str(one["jpeg"])) for one in done} == {b"\xff\xd8 picture"}
        kept = json.loads((tmp_path / FILE).read_text())
        assert {kept[str(one["id"])]["state"] for one in done} == {"done"}, "the newest"
        await made.ask("snapshot", str(busy[0]["id"]))
        assert (await made.answers())[0]["state"] == "done", "it was not kept as refused"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"id":"a","id":"b"}',
        {"id": "a"},
        {"id": "a", "expires": "soon"},
        {"id": "a", "expires": True},
        {"id": "a", "expires": 1},
        {"id": "a", "expires": 4_000_000_000},
        {"id": "../a", "expires": None},
        {"id": "a" * 65, "expires": None},
        {"id": "a", "expires": None, "more": 1},
        {"id": "a", "expires": None, "args": []},
    ],
)
async def test_what_is_no_command_is_not_carried_out(
    tmp_path: Path, payload: bytes | dict[str, object]
) -> None:
    async with asked(tmp_path) as made:
        if isinstance(payload, dict) and payload.get("expires", 0) is None:
            payload["expires"] = int(time.time()) + 60
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await made.take("command/restart", content)
        await asyncio.sleep(0.05)
        assert (len(made.outbox), made.restarts) == (0, [])


async def test_a_retained_command_is_not_carried_out(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        content = json.dumps({"id": "a", "expires": int(time.time()) + 60}).encode()
        await made.take("command/restart", content, retained=True)
        await asyncio.sleep(0.05)
        assert (len(made.outbox), made.restarts) == (0, [])


async def test_what_is_kept_of_commands_is_bounded(tmp_path: Path) -> None:
    async with asked(tmp_path) as made:
        for number in range(MOST_KEPT + 20):
            await made.ask("nothing", f"n{number}")
        assert len(made.commands._kept) == MOST_KEPT


@settings(
    max_examples=int(os.environ.get("VEILCAM_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    content=st.binary(max_size=200)
    | st.fixed_dictionaries(
        {"id": st.text(max_size=70), "expires": st.integers()},
        optional={"args": st.dictionaries(st.text(max_size=5), st.integers(), max_size=3)},
    ),
    name=st.sampled_from(["restart", "identify", "x", "", "a/b"]),
)
def test_whatever_is_asked_the_camera_is_unharmed(
    tmp_path: Path, content: bytes | dict[str, object], name: str
) -> None:
    async def ask() -> None:
        async with asked(tmp_path) as made:
            payload = content if isinstance(content, bytes) else json.dumps(content).encode()
            await made.take(f"command/{name}", payload)
            assert made.desk.settings().raw == "second_person"

    asyncio.run(ask())


async def test_a_snapshot_is_the_next_redacted_picture_and_fits() -> None:
    snapshots = Snapshots()
    noise = np.random.default_rng(3).integers(0, 255, (1080 * 3 // 2, 1920), np.uint8)
    frame = RedactedFrame(noise, 0, 0, Verdict.VERIFIED, ())
    assert snapshots.encode(frame) is None
    taking = [asyncio.create_task(snapshots.take()) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in taking)
    await asyncio.to_thread(snapshots.encode, frame)
    first, second = await asyncio.gather(*taking)
    assert first == second
    assert len(first) <= MOST_BYTES
    picture = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] / picture.shape[0] == pytest.approx(16 / 9, rel=0.02)
