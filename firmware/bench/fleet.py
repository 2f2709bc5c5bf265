"""Measures a fleet at one broker: the firmware's own connection, many times over, and no pixels.

    all up ─▶ settings to all, reported back ─▶ a message of each ─▶ broker killed, a message of each
    ─▶ broker back ─▶ all up, both messages of each there

Devices and broker share this machine: what is slow here may be the load program, not the broker.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.bench.fleet_broker import HOST, LoadAuthority, LoadBroker
from firmware.bench.fleet_devices import SEND, Share, Tally
from firmware.bench.fleet_operator import NAME, Operator
from firmware.errors import NetworkUnavailable, first_error

END_S = 20.0
SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class NamedBroker:
    """A broker that is there already, and the authority that it trusts; it is not killed."""

    host: str
    port: int
    authority: Path
    key: Path


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Devices, processes that run them, and spans in seconds."""

    devices: int
    processes: int = 2
    spread_s: float = 15.0
    """Over which they are switched on; the same as the span of a first try again."""
    away_s: float = 10.0
    within_s: float = 900.0
    broker: NamedBroker | None = None


@dataclass(frozen=True, slots=True)
class RestartReport:
    """A broker that was killed and came back: seconds since it listened again."""

    away_s: float
    all_up_s: float
    all_heard_s: float
    """Until every message that was sent meanwhile had come to the operator."""
    lost: int
    """Messages of devices that did not come to the operator."""
    dropped: int
    """Messages that the broker says it dropped: it had taken them, and the operator's queue was full."""


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What was measured; seconds."""

    devices: int
    processes: int
    spread_s: float
    all_up_s: float
    connections_per_s: int
    """Made in the busiest second of the whole run."""
    settings_all_s: float
    settings_p50_s: float
    settings_p95_s: float
    settings_p99_s: float
    refused: int
    restart: RestartReport | None


Progress = Callable[[str, int], None]
"""Is told what is waited for, and how many devices have done it."""


async def measure_fleet(options: FleetOptions, progress: Progress) -> FleetReport:
    """Run it all.

    Raises:
        NetworkUnavailable: it was not done in time, or the broker does not run.
        DriverUnavailable: there is no Mosquitto here.
        ConfigError: the authority cannot be read.
    """
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="veilcam-fleet-")
    load = _Load(options, Path(folder.name), progress)
    try:
        async with asyncio.timeout(options.within_s):
            return await load.run()
    except BaseExceptionGroup as group:
        raise first_error(group) from None
    except TimeoutError:
        raise NetworkUnavailable(
            f"not done within {options.within_s:.0f} s: {load.waits_for}, {load.done} of "
            f"{options.devices}; allow more with --within, or try fewer devices"
        ) from None
    finally:
        await asyncio.to_thread(folder.cleanup)


class _Load:
    """One run."""

    def __init__(self, options: FleetOptions, folder: Path, progress: Progress) -> None:
        self._options = options
        self._folder = folder
        self._progress = progress
        self._names = [f"bench{n:012d}" for n in range(options.devices)]
        self._tallies = [Tally()] * options.processes
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)
        self._changed = asyncio.Event()
        self._ending = False
        self.waits_for, self.done = "making certificates", 0

    async def run(self) -> FleetReport:
        """Measure one phase after the other."""
        own = None if self._options.broker else await asyncio.to_thread(LoadBroker, self._folder)
        authority, host, port = await asyncio.to_thread(self._place, own)
        await asyncio.to_thread(self._issue, authority)
        operator = Operator(authority.options(host, port, NAME), self._names)
        try:
            if own is not None:
                await own.start()
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(operator.run())
                self.waits_for = "the operator's connection"
                await operator.until(lambda: operator.is_up)
                async with self._devices(tasks, authority, host, port) as words:
                    report = await self._measure(operator, own, words)
                if own is None:
                    await operator.forget_all()
                listening.cancel()
            return report
        finally:
            if own is not None:
                await own.stop()

    def _place(self, own: LoadBroker | None) -> tuple[LoadAuthority, str, int]:
        named = self._options.broker
        if own is not None:
            return own.authority, HOST, own.port
        if named is None:
            raise RuntimeError("neither a broker of our own nor a named one")
        authority = LoadAuthority(self._folder / "pki", named.authority, named.key)
        return authority, named.host, named.port

    def _issue(self, authority: LoadAuthority) -> None:
        for done, name in enumerate((NAME, *self._names)):
            authority.issue(name)
            self._progress("certificates", done)

    async def _measure(
        self, operator: Operator, own: LoadBroker | None, words: Sequence[Process]
    ) -> FleetReport:
        count, began_s = len(self._names), time.monotonic()
        await self._until("up", lambda: self._sum("up"), count)
        up_s = time.monotonic() - began_s
        settings_all_s, trips = await self._settings(operator)
        restart = None if own is None else await self._restart(operator, own, words)
        cuts = statistics.quantiles(trips, n=100, method="inclusive") if len(trips) > 1 else trips * 99
        return FleetReport(
            devices=count,
            processes=self._options.processes,
            spread_s=self._options.spread_s,
            all_up_s=round(up_s, 2),
            connections_per_s=busiest(self._samples),
            settings_all_s=round(settings_all_s, 4),
            settings_p50_s=round(cuts[49], 4),
            settings_p95_s=round(cuts[94], 4),
            settings_p99_s=round(cuts[98], 4),
            refused=self._sum("refused"),
            restart=restart,
        )

    async def _settings(self, operator: Operator) -> tuple[float, list[float]]:
        """Tell all their settings; returns how long it took in all, and each device's round trip."""
        began_s = time.monotonic()
        told = await operator.tell_all(base=1)
        self.waits_for = "settings reported"
        await operator.until(lambda: self._heard(sum(told == 2 for told in operator.revisions.values())))
        trips = [operator.reported_s[name] - told[name] for name in self._names]
        return max(operator.reported_s.values()) - began_s, trips

    async def _restart(self, operator: Operator, own: LoadBroker, words: Sequence[Process]) -> RestartReport:
        count = len(self._names)
        await self._send(words, 1)
        await operator.until(lambda: self._heard(sum(1 in got for got in operator.counted.values())))
        # It writes its database each minute: what came since then would be lost with it, whoever sent it.
        await own.save()
        await own.kill()
        gone_s = time.monotonic()
        await self._until("down", lambda: count - self._sum("up"), count)
        await self._send(words, 2)
        await asyncio.sleep(max(0.0, self._options.away_s - (time.monotonic() - gone_s)))
        await own.start()
        back_s = time.monotonic()
        await self._until("up again", lambda: self._sum("up"), count)
        up_s = time.monotonic() - back_s
        await self._until("sent", lambda: count - self._sum("waiting"), count)
        self.waits_for = "what was sent meanwhile"
        heard = await self._all_heard(operator)
        lost = sum(len({1, 2} - got) for got in operator.counted.values())
        return RestartReport(
            round(back_s - gone_s, 2), round(up_s, 2), round(heard - back_s, 2), lost, operator.dropped
        )

    async def _all_heard(self, operator: Operator) -> float:
        """Wait for the last message, but not for ever for one that is lost; returns the moment."""
        try:
            async with asyncio.timeout(END_S):
                await operator.until(
                    lambda: self._heard(sum({1, 2} <= got for got in operator.counted.values()))
                )
        except TimeoutError:
            pass
        return time.monotonic()

    def _heard(self, done: int) -> bool:
        self.done = done
        self._progress(self.waits_for, done)
        return done == len(self._names)

    async def _send(self, words: Sequence[Process], number: int) -> None:
        """Have each device send a message; returns when each is in its outbox."""
        for process in words:
            if process.stdin is not None:
                process.stdin.write(f"{SEND}\n".encode())
        count = len(self._tallies)
        await self._until("sending", lambda: sum(one.sent >= number for one in self._tallies), count)

    async def _until(self, what: str, done: Callable[[], int], wanted: int) -> None:
        self.waits_for = what
        while True:
            self.done = done()
            self._progress(what, self.done)
            if self.done == wanted:
                return
            self._changed.clear()
            await self._changed.wait()

    def _sum(self, what: str) -> int:
        return sum(getattr(one, what) for one in self._tallies)

    @asynccontextmanager
    async def _devices(
        self, tasks: asyncio.TaskGroup, authority: LoadAuthority, host: str, port: int
    ) -> AsyncIterator[Sequence[Process]]:
        """Run the processes of all devices for the length of the block."""
        processes: list[Process] = []
        try:
            for index in range(self._options.processes):
                share = Share(
                    self._names[index :: self._options.processes],
                    host,
                    port,
                    str(authority.certificate),
                    str(self._folder / "pki"),
                    str(self._folder / "states"),
                    self._options.spread_s,
                )
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "firmware.bench.fleet_devices", stdin=PIPE, stdout=PIPE
                )
                processes.append(process)
                if process.stdin is not None:
                    process.stdin.write(json.dumps(asdict(share)).encode() + b"\n")
                tasks.create_task(self._read(index, process))
            yield processes
        finally:
            self._ending = True
            for process in processes:
                await _end(process)

    async def _read(self, index: int, process: Process) -> None:
        """Take what one process tells, until it ends."""
        if process.stdout is None:
            return
        while line := await process.stdout.readline():
            self._tallies[index] = Tally(**json.loads(line))
            self._samples.append((time.monotonic(), self._sum("connections")))
            self._changed.set()
        if not self._ending:
            raise NetworkUnavailable("a process of devices has ended: see above, and try fewer devices")


async def _end(process: Process) -> None:
    """Have a process end by itself, or end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def busiest(samples: Sequence[tuple[float, int]] | deque[tuple[float, int]]) -> int:
    """Return by how much a rising count rose within one second at most; samples are (second, count)."""
    most, window = 0, deque[tuple[float, int]]([(float("-inf"), 0)])
    for second, count in samples:
        while len(window) > 1 and window[1][0] <= second - 1:
            window.popleft()
        most = max(most, count - window[0][1])
        window.append((second, count))
    return most
