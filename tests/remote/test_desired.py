"""What a fleet wants reaches the settings by the one way there is, or is refused with its reason."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.access.change import KIND
from firmware.access.owner import OwnerKey
from firmware.access.statement import Statement, sign
from firmware.desk import Desk, open_desk
from firmware.ports import SystemClock
from firmware.remote import desired as desires
from firmware.remote.broker import Broker, BrokerOptions, Incoming, NotReady
from firmware.remote.desired import Desired
from firmware.remote.outbox import Outbox
from firmware.remote.topics import DESIRED

OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def nowhere() -> BrokerOptions:
    raise NotReady("no broker is named")


@dataclass
class Rig:
    """A camera's desk with what listens to a broker, and no broker."""

    desk: Desk
    broker: Broker
    desired: Desired
    works: list[bool] = field(default_factory=lambda: [True])

    @property
    def reported(self) -> dict[str, object]:
        return dict(json.loads(self.broker._kept["settings/reported"]))

    @property
    def outcome(self) -> tuple[str, list[dict[str, str]]]:
        told = self.reported["desired"]
        assert isinstance(told, dict)
        return told["state"], told["reasons"]

    async def want(self, payload: object) -> tuple[str, list[dict[str, str]]]:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self.desired.take(Incoming(DESIRED, content, retained=True, correlation=None))
        return self.outcome

    async def change(self, _base: int | None = None, **values: object) -> tuple[str, list[dict[str, str]]]:
        revision = self.desk.settings.now.revision if _base is None else _base
        return await self.want({"base": revision, "set": values})

    def signed(self, device: str | None = None, ahead: int = 1, **values: object) -> dict[str, object]:
        """A wish that the owner has signed."""
        now, revision = int(time.time()), self.desk.settings.now.revision
        whose = device or self.desk.identity.fingerprint
        said = Statement(KIND, whose, revision + ahead, now - 1, now + 60, values)
        return {"base": revision, "set": values, "statement": sign(said, OWNER)}


@asynccontextmanager
async def rig(state: Path, *, claimed: bool = True, starts: bool = True) -> AsyncIterator[Rig]:
    desk = await open_desk(state, SystemClock(), names=[] if starts else None)
    if claimed and desk.ownership.owner is None:
        code = await asyncio.to_thread(desk.ownership.first_code)
        key = OwnerKey(OWNER.public_key().public_bytes_raw())
        await asyncio.to_thread(desk.ownership.claim, code or "", key, lambda: None)
    broker = Broker(desk.remote.device, await asyncio.to_thread(Outbox, state), nowhere)
    works = [True]

    async def healthy() -> bool:
        return works[0]

    made = Rig(desk, broker, await asyncio.to_thread(Desired, state, desk.settings, broker, healthy), works)
    running = asyncio.ensure_future(made.desired.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desires, "WITHIN_S", 0.6)
    monkeypatch.setattr(desires, "HELD_S", 0.1)
    monkeypatch.setattr(desires, "LOOK_S", 0.02)


async def until(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_wish_is_applied_once_and_reported(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        assert await made.change(contact="Ann", max_viewers=3) == ("applied", [])
        told = made.reported
        assert told["revision"] == 2
        values = told["settings"]
        assert isinstance(values, dict)
        assert (values["contact"], values["max_viewers"]) == ("Ann", 3)
        again = {"base": 1, "set": {"contact": "Ann", "max_viewers": 3}}
        assert await made.want(again) == ("applied", []), "the broker gives what it retains again"
        assert made.reported["revision"] == 2
        assert await made.change(contact=None) == ("applied", [])
        values = made.reported["settings"]
        assert isinstance(values, dict)
        assert values["contact"].startswith("the person")
    async with rig(tmp_path) as again_started:
        assert again_started.outcome == ("applied", [])
        assert await again_started.want({"base": 2, "set": {"contact": None}}) == ("applied", [])
        assert again_started.reported["revision"] == 3


async def test_what_somebody_else_changes_is_reported_too(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.desk.settings.change("console", {"contact": "Bob"})
        assert made.reported["revision"] == 2


async def test_stale_and_replayed_wishes_are_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        first = {"base": 1, "set": {"contact": "Ann"}}
        await made.want(first)
        await made.change(contact="Bob")
        for wish in (first, {"base": 9, "set": {"contact": "Eve"}}):
            state, reasons = await made.want(wish)
            assert (state, reasons[0]["key"]) == ("refused", "base")
        assert made.desk.settings().contact == "Bob"


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b"\xff", "payload"),
        (b"[]", "payload"),
        (b'{"base":1,"base":1,"set":{}}', "payload"),
        (b'{"base":1,"set":{}' + b"[" * 40_000, "payload"),
        (b"{" + b" " * 60_000 + b"}", "payload"),
        ({"set": {}}, "payload"),
        ({"base": 1, "set": {}, "more": 1}, "payload"),
        ({"base": True, "set": {}}, "base"),
        ({"base": 1, "set": []}, "set"),
        ({"base": 1, "set": {"max_viewers": 0}}, "max_viewers"),
        ({"base": 1, "set": {"max_viewers": "many"}}, "max_viewers"),
        ({"base": 1, "set": {"unknown": 1}}, "set"),
        ({"base": 1, "set": {"viewing": "open"}, "statement": 7}, "statement"),
        ({"base": 1, "set": {"hide": "faces"}}, "hide"),
        ({"base": 1, "set": {"hide": "faces"}, "statement": "{}"}, "statement"),
        ({"base": 1, "set": {"mqtt": "elsewhere:8883"}}, "mqtt"),
    ],
)
async def test_what_is_not_right_is_refused_with_key_and_reason(
    tmp_path: Path, payload: object, key: str
) -> None:
    async with rig(tmp_path) as made:
        state, reasons = await made.want(payload)
        assert (state, [one["key"] for one in reasons]) == ("refused", [key])
        assert reasons[0]["reason"]
        assert made.desk.settings.now.revision == 1


async def test_what_weakens_privacy_needs_the_owners_word_for_this_camera_and_revision(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as made:
        for wrong in (
            made.signed(device="ffffffff-" * 8, hide="faces"),
            made.signed(ahead=2, hide="faces"),
            {**made.signed(hide="faces"), "set": {"hide": "faces", "raw": "alone"}},
        ):
            state, reasons = await made.want(wrong)
            assert (state, reasons[0]["key"]) == ("refused", "statement")
        assert await made.want(made.signed(hide="faces")) == ("applied", [])
        assert made.desk.settings().hide == "faces"


async def test_without_an_owner_nobody_can_weaken_privacy(tmp_path: Path) -> None:
    async with rig(tmp_path, claimed=False) as made:
        state, reasons = await made.want(made.signed(hide="faces"))
        assert (state, reasons[0]["key"]) == ("refused", "hide")
        assert "claim" in reasons[0]["reason"]


async def test_what_could_cut_it_off_is_confirmed_where_all_is_well(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        assert (await made.change(host_names=["door.example"]))[0] == "confirming"
        await until(lambda: made.outcome[0] == "applied")
        assert made.desk.settings().host_names == ("door.example",)
        assert not await asyncio.to_thread(lambda: made.desk.settings.on_probation)


async def test_what_breaks_the_camera_or_loses_the_broker_is_taken_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.works[0] = False
        await made.change(host_names=["door.example"])
        await until(lambda: made.outcome[0] == "reverted")
        assert made.outcome[1][0]["reason"] == "the camera does not work with it"
        assert made.desk.settings().host_names == ()
        made.works[0] = True
        assert (await made.want(made.signed(mqtt="nobody.example:8883")))[0] == "confirming"
        await until(lambda: made.outcome[0] == "reverted")
        assert made.desk.settings().mqtt is None
        assert "reverted" in await asyncio.to_thread(made.desk.audit.path.read_text)


async def test_a_start_that_was_not_confirmed_is_the_last_with_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.works[0] = False
        await made.change(host_names=["door.example"])
    async with rig(tmp_path, starts=False) as looked_at:
        assert looked_at.desk.settings().host_names == ("door.example",), "a look is no start"
    async with rig(tmp_path) as first:
        first.works[0] = False
        assert first.desk.settings().host_names == ("door.example",)
    async with rig(tmp_path) as second:
        assert second.desk.settings().host_names == ()
        assert second.desk.settings.now.revision == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["base", "set", "statement", "hide", "contact", "raw", "mqtt", "viewing", "x"])


@settings(
    max_examples=int(os.environ.get("VEILCAM_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(payload=st.binary(max_size=200) | st.dictionaries(KEYS, JSON | st.just(1), max_size=4))
def test_whatever_is_wanted_the_camera_is_unharmed(tmp_path: Path, payload: object) -> None:
    async def wanted() -> None:
        async with rig(tmp_path) as made:
            await made.want(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
            assert made.outcome[0] in ("refused", "applied", "confirming")
            assert made.desk.settings().hide == "people"
            assert made.desk.settings().raw == "second_person"

    if payload != b"":
        asyncio.run(wanted())
