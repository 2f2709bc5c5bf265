"""What a camera tells its broker of itself: counts once a minute, and what has changed; nothing personal.

    telemetry       counts of the last minute (core.counting); sent if the broker is there, and else never
    event/<kind>    one change: kind, time, what is so now; waits for the broker, also over a restart
    state           what is so now of every kind; retained
    update/status   how updates stand, as the update agent says it; retained
    audit/head      the newest head of the record, signed by the device; retained

`events.schema.json` beside this module is what is told of the picture, key by key: closed, so that nothing
else can be. A change is told once it has lasted and the one before it is some time ago, so that flicker
makes no flood. A raw view is told at once, and neither whose it is nor what for.
"""

import asyncio
import datetime as dt
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from firmware.access.anchoring import anchored
from firmware.audit import Audit
from firmware.config.settings import Settings
from firmware.core.counting import DWELLS_S, Window
from firmware.core.frames import Verdict
from firmware.core.strict_json import NotStrict, read_json
from firmware.core.tampering import Tampering
from firmware.errors import OutputError, VeilcamError
from firmware.ports import Clock, KeyStore, Updates
from firmware.remote.broker import Broker
from firmware.remote.topics import AUDIT_HEAD, EVENT, STATE, TELEMETRY, UPDATE_STATUS
from firmware.state import written
from firmware.status import StatusSource

logger = logging.getLogger(__name__)

FORMAT = 1
WINDOW_S = 60.0
LOOK_S, ASK_S = 0.5, 15.0
"""How often the camera is looked at; and the disk, which hardware that counts updates is asked with."""
LOW, ENOUGH = 200 << 20, 400 << 20
"""Bytes free in the state folder below which storage is low, and from which on it is enough again."""
FILE = "remote/told.json"


@dataclass(frozen=True, slots=True)
class Rule:
    """Values of a kind, first the one while nothing was told; how long a change has to last and to wait."""

    values: tuple[str, ...]
    lasts_s: float = 0.0
    rests_s: float = 0.0


KINDS: Mapping[str, Rule] = MappingProxyType(
    {
        "verdict": Rule(("shown", "blind"), lasts_s=5.0, rests_s=30.0),
        "raw": Rule(("ended", "began")),
        "tampered": Rule(tuple(one.value for one in Tampering), rests_s=30.0),
        "storage": Rule(("enough", "low"), rests_s=30.0),
        "update": Rule(("none", "armed", "trial", "confirmed", "rolled_back")),
    }
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Whom to ask about the camera: none of these waits, but `updates` and `state`, which are on the disk."""

    status: StatusSource
    raw: Callable[[], bool]
    """Whether somebody sees the raw picture."""
    tampered: Callable[[], Tampering]
    window: Callable[[], Window]
    updates: Updates
    state: Path
    audit: Audit
    keys: KeyStore


class Sign:
    """One kind's value: says when a change is to be told."""

    def __init__(self, rule: Rule, told: str) -> None:
        self.told = told
        self._rule = rule
        self._told_s = -rule.rests_s
        self._now, self._since_s = told, 0.0

    def changed(self, value: str, at_s: float) -> bool:
        """Take in what is so at a time; True where that is to be told now."""
        if value != self._now:
            self._now, self._since_s = value, at_s
        rule, lasted_s = self._rule, at_s - self._since_s
        if value == self.told or lasted_s < rule.lasts_s or at_s - self._told_s < rule.rests_s:
            return False
        self.told, self._told_s = value, at_s
        return True


class Events:
    """Tells one broker."""

    def __init__(self, broker: Broker, facts: Facts, settings: Callable[[], Settings], clock: Clock) -> None:
        """Read what was told last; waits for the disk."""
        self._broker = broker
        self._facts = facts
        self._settings = settings
        self._clock = clock
        told = _read(facts.state / FILE)
        self._signs = {kind: Sign(rule, told.get(kind, rule.values[0])) for kind, rule in KINDS.items()}

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._windows())
            tasks.create_task(self._look())
            tasks.create_task(self._ask())
            finds = lambda: self if self._settings().mqtt is not None else None  # noqa: E731 - a port of one line
            tasks.create_task(anchored(self._facts.audit, self._facts.keys, finds))

    async def keep(self, head: str) -> None:
        """Have the broker retain a head of the record."""
        self._broker.keep(AUDIT_HEAD, head.encode())

    async def _windows(self) -> None:
        before = dict(self._facts.status().released)
        while True:
            await asyncio.sleep(WINDOW_S)
            window, now = self._facts.window(), dict(self._facts.status().released)
            self._broker.tell(TELEMETRY, telemetry(window, self._at(), blind_share(before, now)))
            before = now

    async def _look(self) -> None:
        before, verdict = dict(self._facts.status().released), "shown"
        self._keep_state()
        while True:
            await asyncio.sleep(LOOK_S)
            status = self._facts.status()
            share = blind_share(before, status.released)
            if share is not None or status.failed:
                verdict = "shown" if share is not None and share <= 0.5 else "blind"
            before = dict(status.released)
            await self._take("verdict", verdict)
            await self._take("raw", "began" if self._facts.raw() else "ended")
            await self._take("tampered", self._facts.tampered().value)

    async def _ask(self) -> None:
        low = self._signs["storage"].told == "low"
        while True:
            try:
                free = (await asyncio.to_thread(shutil.disk_usage, self._facts.state)).free
                low = free < (ENOUGH if low else LOW)
                await self._take("storage", "low" if low else "enough")
                if self._settings().mqtt is not None:
                    updates = await asyncio.to_thread(self._facts.updates.status)
                    self._broker.keep(UPDATE_STATUS, _json(updates))
                    await self._take("update", update_of(updates))
            except (VeilcamError, OSError) as exc:
                logger.warning("the disk does not say how it is: %s", exc)
            await asyncio.sleep(ASK_S)

    async def _take(self, kind: str, value: str) -> None:
        """Take in what is so of a kind, and tell it where that is due."""
        if not self._signs[kind].changed(value, self._clock.monotonic_ns() / 1e9):
            return
        self._keep_state()
        try:
            # Without a broker nobody waits for it, and it would only lie there.
            if self._settings().mqtt is not None:
                await self._broker.send(f"{EVENT}/{kind}", event(kind, value, self._at()))
            await asyncio.to_thread(_write, self._facts.state / FILE, self._told())
        except OutputError as exc:
            logger.warning("an event is lost: %s", exc)

    def _keep_state(self) -> None:
        self._broker.keep(STATE, _json({"format": FORMAT, **self._told()}))

    def _told(self) -> dict[str, str]:
        return {kind: sign.told for kind, sign in self._signs.items()}

    def _at(self) -> str:
        now = dt.datetime.fromtimestamp(self._clock.wall_ns() // 10**9, dt.UTC)
        return now.isoformat().replace("+00:00", "Z")


def telemetry(window: Window, at: str, blind: float | None) -> bytes:
    """Return a window as JSON; `blind` is the share of its frames that were hidden whole."""
    names = [*(f"to_{end}_s" for end in DWELLS_S), "longer"]
    told = {
        "format": FORMAT,
        "at": at,
        "window_s": round(window.span_s),
        "looked": round(window.looked, 2),
        "blind": None if blind is None else round(blind, 2),
        "zones": {
            name: {
                "people": _count(zone.people),
                "dwell": {end: _count(n) for end, n in zip(names, zone.dwell, strict=True)},
            }
            for name, zone in window.zones.items()
        },
        "lines": {
            name: {"to_left": _count(line.to_left), "to_right": _count(line.to_right)}
            for name, line in window.lines.items()
        },
    }
    return _json(told)


def event(kind: str, now: str, at: str) -> bytes:
    """Return one change as JSON."""
    return _json({"format": FORMAT, "at": at, "kind": kind, "now": now})


def blind_share(before: Mapping[Verdict, int], after: Mapping[Verdict, int]) -> float | None:
    """Return which share of the frames released between two moments was hidden whole; None where none was."""
    frames = {verdict: after.get(verdict, 0) - before.get(verdict, 0) for verdict in Verdict}
    total = sum(frames.values())
    return frames[Verdict.BLIND] / total if total > 0 else None


def update_of(status: Mapping[str, object]) -> str:
    """Return how far an update is, in one word, from what the update agent says."""
    phase = str(status.get("phase"))
    return phase if phase in ("armed", "trial", "confirmed") else str(status.get("outcome"))


def _count(count: int | None) -> dict[str, object]:
    return {"count": count, "suppressed": count is None}


def _json(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def _read(path: Path) -> dict[str, str]:
    """Return what was told last, as far as that is known."""
    try:
        told = read_json(path.read_bytes(), 4096)
    except (OSError, NotStrict):
        return {}
    return {kind: str(told[kind]) for kind, rule in KINDS.items() if told.get(kind) in rule.values}


def _write(path: Path, told: Mapping[str, str]) -> None:
    with written(path, private=True) as part:
        part.write_bytes(_json(told))
