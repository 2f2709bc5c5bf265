"""One camera at a real Mosquitto: what is retained, what waits, what comes in, and what it may not see."""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.remote import broker as brokers
from firmware.remote.broker import Broker, BrokerOptions, Incoming, NotReady
from firmware.remote.outbox import MOST, Outbox, Outgoing
from tests.remote.mosquitto import Mosquitto, running
from tests.remote.pki import Authority

DEVICE, OTHER = "0123abcd-4567ef01", "ffffffff-00000000"


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with running(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "SPAN_S", 0.2)
    monkeypatch.setattr(brokers, "ANSWER_S", 3.0)


def nowhere() -> BrokerOptions:
    raise NotReady("no broker is named")


def options(mosquitto: Mosquitto, device: str = DEVICE) -> BrokerOptions:
    pair = mosquitto.authority.issue(device)
    return BrokerOptions(
        "localhost", mosquitto.port, mosquitto.authority.certificate, pair.certificate, pair.key
    )


@asynccontextmanager
async def connected(broker: Broker) -> AsyncIterator[Broker]:
    """Run a broker's side of a camera for the length of the block; it is up at its beginning."""
    running_task = asyncio.ensure_future(broker.run())
    try:
        await until(lambda: broker.is_up)
        yield broker
    finally:
        running_task.cancel()
        with suppress(asyncio.CancelledError):
            await running_task


async def box(state: Path) -> Outbox:
    return await asyncio.to_thread(Outbox, state)


async def until(holds: object, within_s: float = 10.0) -> None:
    assert callable(holds)
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


async def tool(mosquitto: Mosquitto, *words: str) -> str:
    return await asyncio.to_thread(mosquitto.tool, *words)


async def retained(mosquitto: Mosquitto, name: str, device: str = DEVICE) -> str:
    """What the broker holds of a topic; nothing where it holds nothing."""
    told = await tool(mosquitto, "sub", "-t", f"veilcam/{device}/{name}", "-C", "1", "-W", "1")
    return told.strip()


async def test_a_camera_says_that_it_is_there_and_that_it_goes(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    async with connected(Broker(DEVICE, await box(tmp_path), lambda: told)):
        assert await retained(mosquitto, "status") == "online"
    assert await retained(mosquitto, "status") == "offline"


async def test_the_will_speaks_for_a_camera_that_is_gone(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    code = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from firmware.remote.broker import Broker, BrokerOptions\n"
        "from firmware.remote.outbox import Outbox\n"
        "host, port, *files, state = sys.argv[1:]\n"
        "told = BrokerOptions(host, int(port), *map(Path, files))\n"
        f"asyncio.run(Broker({DEVICE!r}, Outbox(Path(state)), lambda: told).run())\n"
    )
    files = (told.authority, told.certificate, told.key, tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, told.host, str(told.port), *map(str, files)
    )
    try:
        for _ in range(100):
            if await retained(mosquitto, "status") == "online":
                break
    finally:
        process.kill()
        await process.wait()
    assert await retained(mosquitto, "status") == "offline"


async def test_what_is_kept_is_there_again_after_the_broker_was_away(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        told = await asyncio.to_thread(options, own)
        broker = Broker(DEVICE, await box(tmp_path / "state"), lambda: told)
        async with connected(broker):
            broker.keep("settings/reported", b'{"revision": 1}')
            await until(lambda: not broker._unsent)
            assert json.loads(await retained(own, "settings/reported")) == {"revision": 1}
            await asyncio.to_thread(own.stop, kill=True)
            await until(lambda: not broker.is_up)
            assert broker.why
            broker.keep("settings/reported", b'{"revision": 2}')
            await broker.send("event/tampered", b"{}")
            await asyncio.to_thread(own.start)
            await until(lambda: broker.is_up and not broker.waiting)
            assert json.loads(await retained(own, "settings/reported")) == {"revision": 2}
            assert broker.connections == 2


async def test_what_waits_is_sent_in_order_also_after_a_restart(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    away = Broker(DEVICE, await box(tmp_path), nowhere)
    for number in range(20):
        await away.send("event/counted", b"%d" % number, b"word")
    listening = asyncio.create_task(
        tool(mosquitto, "sub", "-t", f"veilcam/{DEVICE}/event/#", "-C", "20", "-W", "10", "-F", "%p %D")
    )
    await asyncio.sleep(0.5)
    async with connected(Broker(DEVICE, await box(tmp_path), lambda: told)) as back:
        lines = (await listening).split("\n")
        assert [line.partition(" ")[0] for line in lines if line] == [str(number) for number in range(20)]
        assert lines[0] == "0 word"
        await until(lambda: not back.waiting)
    assert len(await box(tmp_path)) == 0


async def test_it_ends_when_it_is_cancelled_whatever_it_awaits(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    for tries in range(40):
        broker = Broker(DEVICE, await box(tmp_path), lambda: told)
        running_task = asyncio.ensure_future(broker.run())
        await until(lambda broker=broker: broker.is_up)
        broker.tell("telemetry", b"%d" % tries)
        # So that it is cancelled just when an answer comes.
        await asyncio.sleep(tries % 20 / 1000)
        running_task.cancel()
        done, _ = await asyncio.wait([running_task], timeout=5)
        assert done, tries


async def test_messages_come_to_whoever_handles_them(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    broker, got = Broker(DEVICE, await box(tmp_path), lambda: told), list[Incoming]()

    async def take(message: Incoming) -> None:
        got.append(message)

    broker.handle("settings/desired", take)
    broker.handle("command/+", take)
    async with connected(broker):
        for name in ("settings/desired", "command/restart", "command/identify", "other"):
            await tool(mosquitto, "pub", "-t", f"veilcam/{DEVICE}/{name}", "-m", name, "-q", "1")
        await until(lambda: len(got) >= 3)
    assert [(one.topic, one.payload) for one in got] == [
        ("settings/desired", b"settings/desired"),
        ("command/restart", b"command/restart"),
        ("command/identify", b"command/identify"),
    ]


async def test_a_camera_sees_and_writes_nothing_of_another(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto, OTHER)
    broker, got = Broker(OTHER, await box(tmp_path), lambda: told), list[Incoming]()

    async def take(message: Incoming) -> None:
        got.append(message)

    broker.handle("settings/desired", take)
    async with connected(broker):
        # As a camera would that has been taken over: it names another one's topics.
        broker.device = DEVICE
        await broker.send("event/forged", b"{}")
        await until(lambda: not broker.waiting)
        assert broker.refused == 1
        await tool(mosquitto, "pub", "-t", f"veilcam/{DEVICE}/settings/desired", "-m", "secret", "-q", "1")
        words = ("-t", "veilcam/#", "-t", f"veilcam/{DEVICE}/command/+", "-W", "2")
        pair = mosquitto.authority.issue("11111111-22222222")
        listening = asyncio.create_task(asyncio.to_thread(mosquitto.tool, "sub", *words, who=pair))
        await asyncio.sleep(0.5)
        await tool(mosquitto, "pub", "-t", f"veilcam/{DEVICE}/command/restart", "-m", "secret", "-q", "1")
        assert await listening == ""
    assert not got


# paho-mqtt 2.2 leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_who_is_not_let_in_is_told_why(mosquitto: Mosquitto, tmp_path: Path) -> None:
    told = await asyncio.to_thread(options, mosquitto)
    rogue = await asyncio.to_thread(Authority, tmp_path / "rogue", "rogue")
    stranger = await asyncio.to_thread(rogue.issue, DEVICE)
    cases = {
        "not of our authority": replace(told, certificate=stranger.certificate, key=stranger.key),
        "not our broker": replace(told, authority=rogue.certificate),
        "nobody there": replace(told, port=1),
        "no file": replace(told, certificate=tmp_path / "none.pem"),
    }
    for case, wrong in cases.items():
        broker = Broker(DEVICE, await box(tmp_path / "state"), lambda wrong=wrong: wrong)  # type: ignore[misc]
        running_task = asyncio.ensure_future(broker.run())
        await until(lambda broker=broker: broker.why not in ("", "no broker is named"))
        assert not broker.connections, case
        running_task.cancel()
        with suppress(asyncio.CancelledError):
            await running_task
    gc.collect()


async def test_a_revoked_camera_is_not_let_in_again_and_a_rotated_one_is(tmp_path: Path) -> None:
    """A connection that is up stays so until the broker is started again: the list is read for new ones."""
    with running(tmp_path) as own:
        told = await asyncio.to_thread(options, own)
        broker = Broker(DEVICE, await box(tmp_path / "state"), lambda: told)
        async with connected(broker):
            await asyncio.to_thread(own.authority.revoke, told.certificate)
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(own.start)
            await until(lambda: not broker.is_up)
            await asyncio.sleep(1)
            assert (broker.is_up, broker.connections) == (False, 1)
            told = await asyncio.to_thread(options, own)
            broker.moved()
            await until(lambda: broker.is_up)


async def test_without_a_broker_it_waits_and_takes_one_up_when_it_is_named(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    found = await asyncio.to_thread(options, mosquitto)
    told: BrokerOptions | None = None
    broker = Broker(DEVICE, await box(tmp_path), lambda: told or nowhere())
    running_task = asyncio.ensure_future(broker.run())
    await asyncio.sleep(0.2)
    assert (broker.is_up, broker.why) == (False, "no broker is named")
    told = found
    broker.moved()
    await until(lambda: broker.is_up)
    told = None
    broker.moved()
    await until(lambda: not broker.is_up)
    assert await retained(mosquitto, "status") == "offline"
    running_task.cancel()
    with suppress(asyncio.CancelledError):
        await running_task


def test_the_outbox_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    for number in range(MOST + 3):
        box.put(Outgoing("t", b"%d" % number))
    assert (len(box), box.dropped) == (MOST, 3)
    again = Outbox(tmp_path)
    first = again.first()
    assert first is not None
    assert first[1].payload == b"3"
    with pytest.raises(ValueError, match="too long"):
        box.put(Outgoing("t", bytes(1 << 17)))


@pytest.mark.parametrize("content", [b"", b"{", b'{"topic": 1}', b'{"topic":"t","payload":"%"}'])
def test_a_damaged_message_is_none(tmp_path: Path, content: bytes) -> None:
    box = Outbox(tmp_path)
    box.put(Outgoing("t", b"1"))
    path = next((tmp_path / "remote" / "outbox").glob("*.json"))
    path.write_bytes(content)
    assert len(Outbox(tmp_path)) == 0
    assert not path.exists()
