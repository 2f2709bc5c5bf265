"""Some of the devices of a load run, in a process of their own: `python -m firmware.bench.fleet_devices`.

The first line on standard input is a JSON object (`Share`), each further line a word to all devices. On
standard output is one JSON object (`Tally`) whenever something has changed. It ends with its input.
"""

import asyncio
import json
import logging
import resource
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.access.change import GovernedSettings
from firmware.access.keystore import FileKeyStore
from firmware.access.owner import Ownership
from firmware.audit import Audit
from firmware.config.store import SettingsStore
from firmware.ports import SystemClock
from firmware.remote.broker import Broker, BrokerOptions
from firmware.remote.desired import Desired
from firmware.remote.outbox import Outbox

EVERY_S = 0.1
THREADS = 32
"""Handshakes at the same time: aiomqtt does each in a thread."""
LONGEST = 1 << 20
SEND = "send"
COUNTED = "event/counted"


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is told: its devices, and the span in seconds over which they are switched on."""

    names: Sequence[str]
    host: str
    port: int
    authority: str
    pki: str
    states: str
    spread_s: float


@dataclass(frozen=True, slots=True)
class Tally:
    """How the devices of one process are: up now; connections made, messages that wait, messages refused."""

    up: int = 0
    connections: int = 0
    waiting: int = 0
    refused: int = 0
    sent: int = 0
    """Words to send that are in every outbox."""


class Device:
    """A camera without pixels: the connection, outbox, settings and record are the firmware's own."""

    def __init__(self, name: str, state: Path, options: BrokerOptions) -> None:
        """Open a state folder of its own; waits for the disk."""
        clock = SystemClock()
        self.broker = Broker(name, Outbox(state), lambda: options)
        audit = Audit(state, FileKeyStore(state / "identity"), clock)
        settings = GovernedSettings(SettingsStore(state), Ownership(state, clock), audit, name, clock)
        self._desired = Desired(state, settings, self.broker, _well)
        self._sent = 0

    async def send(self) -> None:
        """Have one more counted message sent, now or when the broker is back."""
        self._sent += 1
        await self.broker.send(COUNTED, json.dumps({"n": self._sent}).encode())

    async def run(self, wait_s: float) -> None:
        """Be switched on after so many seconds, and stay on."""
        await asyncio.sleep(wait_s)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._desired.run())
            tasks.create_task(self.broker.run())


async def _well() -> bool:
    """Say that the camera works: there is none."""
    return True


class _EndedError(Exception):
    """Whoever started us is gone, or done."""


class Devices:
    """All devices of this process."""

    def __init__(self, share: Share) -> None:
        """Make them; waits for the disk."""
        pki, states, self._spread_s = Path(share.pki), Path(share.states), share.spread_s
        self._sent = 0
        self._devices = [
            Device(
                name,
                states / name,
                BrokerOptions(
                    share.host, share.port, Path(share.authority), pki / f"{name}.pem", pki / f"{name}.key"
                ),
            )
            for name in share.names
        ]

    async def run(self, words: asyncio.StreamReader, tell: Callable[[Tally], None]) -> None:
        """Run until there are no more words."""
        with suppress(_EndedError):
            try:
                async with asyncio.TaskGroup() as tasks:
                    for device in self._devices:
                        wait_ms = secrets.randbelow(max(1, round(self._spread_s * 1000)))
                        tasks.create_task(device.run(wait_ms / 1000))
                    tasks.create_task(self._tell(tell))
                    tasks.create_task(self._obey(words))
            except* _EndedError:
                raise _EndedError from None

    async def _tell(self, tell: Callable[[Tally], None]) -> None:
        before = None
        while True:
            now = self._tally()
            if now != before:
                tell(now)
                before = now
            await asyncio.sleep(EVERY_S)

    def _tally(self) -> Tally:
        brokers = [device.broker for device in self._devices]
        return Tally(
            sum(one.is_up for one in brokers),
            sum(one.connections for one in brokers),
            sum(one.waiting for one in brokers),
            sum(one.refused for one in brokers),
            self._sent,
        )

    async def _obey(self, words: asyncio.StreamReader) -> None:
        while word := (await words.readline()).decode().strip():
            if word == SEND:
                await asyncio.gather(*(device.send() for device in self._devices))
                self._sent += 1
        raise _EndedError


async def _main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    words = asyncio.StreamReader(limit=LONGEST)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    share = Share(**json.loads(await words.readline()))
    devices = await asyncio.to_thread(Devices, share)
    await devices.run(words, lambda tally: print(json.dumps(asdict(tally)), flush=True))  # noqa: T201


def main() -> None:
    """Run one share of the devices."""
    # A broker that is killed on purpose is a line for each device and each try.
    logging.basicConfig(level=logging.CRITICAL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main())


if __name__ == "__main__":
    main()
