"""Messages that wait for the broker: bounded, in order, and still there after a restart.

One file a message, written whole or not at all; it goes when the broker has confirmed it, so that a power cut
may send one twice and loses none. Where there are too many the oldest goes: what a fleet wants to know first
is how things are now.
"""

import base64
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from firmware.core.strict_json import NotStrict, read_json
from firmware.state import written

FOLDER = "remote/outbox"
MOST = 500
LONGEST = 64 * 1024
"""Bytes of a payload; brokers refuse what is much longer, and hang up."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message; `correlation` is the asker's own word for what it answers (MQTT 5, section 3.3.2.3.6)."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None


class Outbox:
    """The messages of one state folder; its methods wait for the disk. One thread at a time."""

    def __init__(self, state: Path) -> None:
        """Read what waits; a damaged file is nobody's message any more. Raises OutputError, OSError."""
        self._folder = state / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.dropped = 0
        self._waiting: OrderedDict[int, Outgoing] = OrderedDict()
        for path in sorted(self._folder.glob("[0-9]*.json")):
            message = _read(path)
            if message is None:
                path.unlink()
            else:
                self._waiting[int(path.stem)] = message
        self._next = max(self._waiting, default=0) + 1

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, message: Outgoing) -> None:
        """Have one more wait.

        Raises:
            ValueError: it is too long.
            OutputError: it cannot be written.
        """
        if len(message.payload) > LONGEST:
            raise ValueError(f"a message of {len(message.payload)} bytes is too long")
        number = self._next
        with written(self._path(number), private=True) as part:
            part.write_bytes(_told(message))
        self._next += 1
        self._waiting[number] = message
        while len(self._waiting) > MOST:
            self.dropped += 1
            self.sent(next(iter(self._waiting)))

    def first(self) -> tuple[int, Outgoing] | None:
        """Return the one that waits longest, and its number."""
        return next(iter(self._waiting.items()), None)

    def sent(self, number: int) -> None:
        """Forget one that the broker has."""
        if self._waiting.pop(number, None) is not None:
            self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.json"


def _told(message: Outgoing) -> bytes:
    told = {
        "topic": message.topic,
        "payload": base64.b64encode(message.payload).decode(),
        "retain": message.retain,
        "correlation": None
        if message.correlation is None
        else base64.b64encode(message.correlation).decode(),
    }
    return json.dumps(told).encode()


def _read(path: Path) -> Outgoing | None:
    try:
        told = read_json(path.read_bytes(), 2 * LONGEST)
        correlation = told["correlation"]
        return Outgoing(
            str(told["topic"]),
            base64.b64decode(str(told["payload"]), validate=True),
            bool(told["retain"]),
            None if correlation is None else base64.b64decode(str(correlation), validate=True),
        )
    except (OSError, NotStrict, KeyError, ValueError):
        return None
