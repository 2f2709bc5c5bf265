"""Commands over MQTT: a closed set, each allowed by the owner, done once, answered.

    command/<name>  {"id": "…", "expires": 1780000000, "args": {…}}   ─▶   result/<id>  {"state": "done", …}

Whoever writes to the topic is somebody whom the broker let; what they may ask for is the setting
`mqtt_commands`. An id is done once: whoever asks again is told what came of it, also after a restart; of a
command that a restart came into nobody can say that it was done, and it is not tried again. What has
expired is refused, and so is what expires later than in a day: a command that was kept for long must not
surprise anybody. `update/offer` is the command `update` under its own topic.
"""

import asyncio
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from firmware.audit import Act, Audit
from firmware.config.settings import COMMANDS, Settings
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import OutputError, VeilcamError
from firmware.ports import Clock
from firmware.remote import topics
from firmware.remote.broker import Broker, Incoming
from firmware.state import written

logger = logging.getLogger(__name__)

LONGEST = 40 * 1024
LONGEST_VALUE = 60 * 1024
FILE = "remote/commands.json"
MOST_KEPT, MOST_AT_ONCE = 200, 4
LATEST_S = 86_400
EARLY_S = 300
"""How far clocks may differ."""
LONGEST_WORD = 64
WHO = "broker"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

DONE, REFUSED, FAILED, BEGUN = "done", "refused", "failed", "begun"


class CommandRefused(Exception):
    """A command is not carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gives, and what happens once that has been handed to the outbox."""

    value: Mapping[str, object]
    then: Callable[[], None] = lambda: None


Action: TypeAlias = Callable[[Mapping[str, object]], Awaitable[Outcome]]
"""Carries one command out; raises CommandRefused, VeilcamError."""


@dataclass(frozen=True, slots=True)
class Command:
    """One that was asked for, and has the right shape."""

    name: str
    id: str
    args: Mapping[str, object]


class Commands:
    """Takes commands and answers them."""

    def __init__(
        self, state: Path, broker: Broker, settings: Callable[[], Settings], audit: Audit, clock: Clock
    ) -> None:
        """Read what was done; waits for the disk."""
        self._path = state / FILE
        self._broker = broker
        self._settings = settings
        self._audit = audit
        self._clock = clock
        self._actions: dict[str, Action] = {}
        self._kept = _read(self._path)
        self._keeping = asyncio.Lock()
        self._asked: asyncio.Queue[tuple[Command, bytes | None]] = asyncio.Queue(MOST_AT_ONCE)
        broker.handle(topics.COMMANDS, self.take)
        broker.handle(topics.UPDATE_OFFER, self.take)

    def offer(self, name: str, action: Action) -> None:
        """Say how one of the closed set is carried out."""
        if name not in COMMANDS:
            raise ValueError(f"{name} is no command")
        self._actions[name] = action

    async def take(self, message: Incoming) -> None:
        """Take one command; raises OutputError where an answer cannot be kept."""
        name = "update" if message.topic == topics.UPDATE_OFFER else message.topic.rpartition("/")[2]
        correlation = message.correlation if len(message.correlation or b"") <= LONGEST_WORD else None
        if message.retained and message.topic != topics.UPDATE_OFFER:
            # A command that a broker keeps would be asked for again by every connection.
            logger.warning("a retained command is not carried out: %s", name[:LONGEST_WORD])
            return
        try:
            command = _parsed(name, message.payload, self._clock.wall_ns() / 1e9)
        except CommandRefused as exc:
            logger.warning("a command is refused: %s", exc)
            return
        if (before := self._kept.get(command.id)) is not None:
            await self._answer(command, before, correlation)
            return
        try:
            self._require_allowed(command)
            self._asked.put_nowait((command, correlation))
        except CommandRefused as exc:
            await self._end(command, {"state": REFUSED, "reason": str(exc)}, correlation)
        except asyncio.QueueFull:
            # Not kept: it may be asked for again.
            await self._answer(command, {"state": REFUSED, "reason": "busy; ask again later"}, correlation)
        else:
            self._kept[command.id] = {"state": BEGUN, "command": command.name}
            await self._keep()

    async def run(self) -> None:
        """Carry commands out until cancelled."""
        for id_, told in list(self._kept.items()):
            if told["state"] == BEGUN:
                reason = "the camera started again meanwhile; look how it is, and ask anew"
                self._kept[id_] = {**told, "state": FAILED, "reason": reason}
        async with asyncio.TaskGroup() as tasks:
            for _ in range(MOST_AT_ONCE):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            command, correlation = await self._asked.get()
            outcome = await self._carried_out(command)
            told = {"state": DONE, **outcome.value} if isinstance(outcome, Outcome) else outcome
            try:
                await self._end(command, dict(told), correlation)
            except OutputError as exc:
                # A disk that is full ends no camera: it still hides people.
                logger.warning("the answer to %s is lost: %s", command.name, exc)
            if isinstance(outcome, Outcome):
                outcome.then()

    async def _carried_out(self, command: Command) -> Outcome | Mapping[str, object]:
        try:
            await self._audit.record(Act.COMMAND, WHO, {"command": command.name, "id": command.id})
            return await self._actions[command.name](command.args)
        except CommandRefused as exc:
            return {"state": REFUSED, "reason": str(exc)}
        except VeilcamError as exc:
            return {"state": FAILED, "reason": str(exc)}

    def _require_allowed(self, command: Command) -> None:
        if command.name not in COMMANDS:
            raise CommandRefused(f"no such command; there are {', '.join(COMMANDS)}")
        if command.name not in self._settings().mqtt_commands or command.name not in self._actions:
            raise CommandRefused(f"{command.name} is not allowed over MQTT; see the setting mqtt_commands")

    async def _end(self, command: Command, told: dict[str, object], correlation: bytes | None) -> None:
        told = {"command": command.name, **told}
        # What it gave may be large and is for whoever asked; that it was done is kept.
        self._kept[command.id] = {key: told[key] for key in ("command", "state", "reason") if key in told}
        await self._keep()
        await self._answer(command, told, correlation)

    async def _answer(self, command: Command, told: Mapping[str, object], correlation: bytes | None) -> None:
        content = json.dumps({"id": command.id, **told}).encode()
        if len(content) > LONGEST_VALUE:
            short = {"id": command.id, "command": command.name, "state": FAILED, "reason": "too long"}
            content = json.dumps(short).encode()
        await self._broker.send(f"{topics.RESULT}/{command.id}", content, correlation)

    async def _keep(self) -> None:
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with self._keeping:
            # One after the other, each with what is so then: an older list must not take a newer one's place.
            await asyncio.to_thread(_write, self._path, json.dumps(self._kept))


def _parsed(name: str, payload: bytes, now_s: float) -> Command:
    """Return the command of a payload; raises CommandRefused where there is nobody to answer."""
    try:
        told = read_json(payload, LONGEST)
    except NotStrict as exc:
        raise CommandRefused(f"the payload is {exc}") from exc
    id_, expires, args = told.get("id"), told.get("expires"), told.get("args", {})
    if not told.keys() <= {"id", "expires", "args"} or not isinstance(args, dict):
        raise CommandRefused("a command has id, expires and args, and nothing else")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise CommandRefused("its id has to be 1 to 64 letters, digits, dots, dashes or underscores")
    if type(expires) is not int or not now_s - EARLY_S < expires <= now_s + LATEST_S + EARLY_S:
        raise CommandRefused("it has expired, or expires later than in a day")
    return Command(name[:LONGEST_WORD], id_, args)


def _read(path: Path) -> "OrderedDict[str, Mapping[str, object]]":
    try:
        told = read_json(path.read_bytes(), 1 << 20)
    except (OSError, NotStrict):
        return OrderedDict()
    whole = {id_: one for id_, one in told.items() if isinstance(one, dict) and "state" in one}
    return OrderedDict(list(whole.items())[-MOST_KEPT:])


def _write(path: Path, content: str) -> None:
    with written(path, private=True) as part:
        part.write_text(content, encoding="utf-8")
