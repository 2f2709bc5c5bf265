"""Who is logged in: sessions live in memory, so that a restart ends them all.

The token is known to its holder alone; the camera keeps its SHA-256. Times are by the monotonic clock: a
clock that somebody sets neither prolongs nor ends a session. What somebody may do is asked of the accounts
each time, so that a role that was taken away is gone at once.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from firmware.access.people import People
from firmware.access.roles import ANYBODY, DELICATE, Principal
from firmware.ports import Clock

IDLE_S = 1800.0
LONGEST_S = 12 * 3600.0
MOST, MOST_EACH = 1024, 8


@dataclass(eq=False, slots=True)
class Session:
    """One log-in; `id` may be seen by others, `strong` says that a second factor was given."""

    id: str
    name: str
    begun_s: float
    used_s: float
    strong: bool
    pending: str | None = field(default=None, repr=False)
    """Secret of an authenticator app that is being set up."""


class Sessions:
    """Every session of this process. Use it on the loop only."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people = people
        self._clock = clock
        self._by_hash: dict[str, Session] = {}
        # Asked for every packet of whoever had to log in.
        self._by_id: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def begin(self, name: str, *, strong: bool) -> tuple[str, Session]:
        """Begin a session, and return its token; the oldest of somebody who has too many ends."""
        self._end_where(lambda one: not self._lives(one))
        token, now_s = secrets.token_urlsafe(32), self._now_s()
        session = Session(secrets.token_hex(8), name, now_s, now_s, strong)
        mine = [key for key, one in self._by_hash.items() if one.name == name]
        over = mine[: max(0, len(mine) + 1 - MOST_EACH)]
        if len(self._by_hash) - len(over) >= MOST:
            over.append(next(iter(self._by_hash)))
        gone = [self._by_hash[key] for key in over]
        self._end_where(lambda one: one in gone)
        self._by_hash[_hash(token)] = self._by_id[session.id] = session
        return token, session

    def of(self, token: str) -> Session | None:
        """Return the session of a token, and count this as a use of it."""
        session = self._by_hash.get(_hash(token))
        if session is None or not self._lives(session):
            return None
        session.used_s = self._now_s()
        return session

    def principal(self, session: Session | None) -> Principal:
        """Return who that is, and what they may do by now; without a second factor nothing delicate."""
        person = None if session is None else self._people.find(session.name)
        if session is None or person is None:
            return ANYBODY
        rights = person.rights if session.strong else person.rights - DELICATE
        return Principal(person.name, rights, session.id)

    def by_id(self, name: str) -> Session | None:
        """Return a living session by its id."""
        session = self._by_id.get(name)
        return session if session is not None and self._lives(session) else None

    def end(self, name: str) -> bool:
        """End a session by its id."""
        return self._end_where(lambda one: one.id == name)

    def end_of(self, person: str, *, but: str | None = None) -> bool:
        """End every session of a person, but perhaps the one they are in."""
        return self._end_where(lambda one: one.name == person and one.id != but)

    def count(self, person: str) -> int:
        """Return how many sessions a person has."""
        return sum(one.name == person for one in self._living())

    def _living(self) -> Iterator[Session]:
        return (one for one in self._by_hash.values() if self._lives(one))

    def _lives(self, session: Session) -> bool:
        now_s = self._now_s()
        in_time = now_s - session.used_s < IDLE_S and now_s - session.begun_s < LONGEST_S
        return in_time and self._people.find(session.name) is not None

    def _end_where(self, met: Callable[[Session], bool]) -> bool:
        ended = [key for key, one in self._by_hash.items() if met(one)]
        for key in ended:
            del self._by_id[self._by_hash.pop(key).id]
        return bool(ended)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
