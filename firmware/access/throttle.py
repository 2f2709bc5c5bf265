"""Slows down whoever guesses, and nobody else: a few tries each, then one in a while, by network.

An account is never locked: whoever could lock one by guessing would lock the others out. What is costly about
a try, argon2, is done one at a time, and whoever has failed least goes first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from firmware.ports import Clock

TRIES = 5
REFILL_S = 60.0
"""So many failures at once, and one more in so many seconds."""

MOST_KEYS = 4096
MOST_WAITING = 64


class Throttled(Exception):
    """Too many have failed; `wait_s` says when to come again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; try again in {wait_s:.0f} s")
        self.wait_s = wait_s


@dataclass(slots=True)
class _Bucket:
    left: float
    then_s: float


class Failures:
    """Failures by key, of a bounded number of keys: the longest unused is forgotten first."""

    def __init__(self, clock: Clock, tries: int = TRIES, refill_s: float = REFILL_S) -> None:
        self._clock = clock
        self._tries = tries
        self._refill_s = refill_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def require(self, key: str) -> None:
        """Raise Throttled where a key has no try left."""
        left = self.left(key)
        if left < 1:
            raise Throttled((1 - left) * self._refill_s)

    def left(self, key: str) -> float:
        """Return how many tries a key has."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._tries
        now_s = self._clock.monotonic_ns() / 1e9
        bucket.left = min(self._tries, bucket.left + (now_s - bucket.then_s) / self._refill_s)
        bucket.then_s = now_s
        return bucket.left

    def spend(self, key: str) -> None:
        """Take a try from a key."""
        left = self.left(key)
        self._buckets[key] = _Bucket(left - 1, self._clock.monotonic_ns() / 1e9)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Return a try that was none: it succeeded."""
        if key in self._buckets:
            self._buckets[key].left += 1


@dataclass(eq=False, slots=True)
class _Waiting:
    left: float
    turn: asyncio.Future[None] = field(repr=False)


class Queue:
    """One at a time; whoever has most tries left goes first, and over a bound whoever has least goes."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[_Waiting] = []

    @asynccontextmanager
    async def turn(self, left: float) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the length of the block; raises Throttled."""
        if self._busy:
            await self._wait(left)
        self._busy = True
        try:
            yield
        finally:
            self._next()

    async def _wait(self, left: float) -> None:
        mine = _Waiting(left, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if len(self._waiting) > MOST_WAITING:
            worst = min(reversed(self._waiting), key=lambda one: one.left)
            self._waiting.remove(worst)
            worst.turn.set_exception(Throttled(REFILL_S))
        try:
            await mine.turn
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif mine.turn.done() and not mine.turn.cancelled():
                # The turn was given and nobody is here to take it.
                self._next()
            raise

    def _next(self) -> None:
        """Hand the turn on; it stays taken, so that nobody comes in between."""
        while self._waiting:
            best = max(self._waiting, key=lambda one: one.left)
            self._waiting.remove(best)
            if not best.turn.done():
                best.turn.set_result(None)
                return
        self._busy = False
