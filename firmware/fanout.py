"""Fans one encoded rendition out to viewers, recorders and whoever else takes packets.

Each subscriber has a bounded ring that drops to the next keyframe, so that nobody waits for a slow one. The
label of a rendition is in its type and checked again when it runs: no raw packet gets into a redacted one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from firmware.core.frames import Packet, Raw, Redacted, V
from firmware.core.grant import Grant

RING = 16
"""Packets a subscriber may lag behind, about half a second at 30 frames per second."""
KEYFRAME_INTERVAL_S = 0.5
"""Subscribers together get at most one keyframe per this time: a lossy one cannot starve the others."""


class SubscriptionClosed(Exception):
    """The subscriber or the fan-out has gone."""


@dataclass(frozen=True, slots=True)
class FanoutCounters:
    """Subscribers now; packets and keyframe requests since the start."""

    subscribers: int
    published: int
    dropped: int
    keyframes_asked: int


class KeyframeRequests:
    """Merges requests: at most one call per interval (seconds), and one always follows the last request."""

    def __init__(self, ask: Callable[[], None], interval_s: float = KEYFRAME_INTERVAL_S) -> None:
        self._ask = ask
        self._interval = interval_s
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def want(self) -> None:
        """Ask now, or as soon as the interval has passed."""
        # A waiting timer fires after this request, so it answers this one as well.
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._not_before - loop.time()
        if wait <= 0:
            self._fire()
        else:
            self._timer = loop.call_later(wait, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._not_before = asyncio.get_running_loop().time() + self._interval
        self._ask()

    def close(self) -> None:
        """Forget a request that has not been passed on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Subscription(Generic[V]):
    """One subscriber's ring of packets; made by a `Fanout`."""

    def __init__(self, fanout: "Fanout[V]", ring: int) -> None:
        self._fanout: Fanout[V] = fanout
        self._size = ring
        self._ring: deque[Packet[V]] = deque()
        self._ready = asyncio.Event()
        self._awaits_keyframe = True
        self._started = False
        self._closed = False
        self.dropped = 0

    def offer(self, packet: Packet[V]) -> None:
        """Take a packet, or drop to the next keyframe where the ring is full; raises as `publish`."""
        self._fanout.require_label(packet)
        if packet.keyframe:
            self._restart_at_keyframe()
        elif self._awaits_keyframe:
            self.dropped += self._started
            return
        elif len(self._ring) >= self._size:
            self._drop_to_keyframe()
            return
        self._ring.append(packet)
        self._ready.set()

    def _restart_at_keyframe(self) -> None:
        self._awaits_keyframe = False
        self._started = True
        # A keyframe needs nothing before it: who is late catches up here without asking.
        if len(self._ring) >= self._size:
            self.dropped += len(self._ring)
            self._ring.clear()

    def _drop_to_keyframe(self) -> None:
        self.dropped += len(self._ring) + 1
        self._ring.clear()
        self._ready.clear()
        self._awaits_keyframe = True
        self._fanout.want_keyframe()

    async def next(self) -> Packet[V]:
        """Wait for the next packet, the first one a keyframe.

        Raises:
            SubscriptionClosed: no packet will come any more.
        """
        while not self._ring and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        if self._closed:
            raise SubscriptionClosed
        return self._ring.popleft()

    def close(self) -> None:
        """Leave; a waiting `next` ends."""
        if not self._closed:
            self._closed = True
            self._ring.clear()
            self._ready.set()
            self._fanout.leave(self)


class Fanout(Generic[V]):
    """One rendition, encoded once and shared by every subscriber. Use it on the loop only.

    `want_keyframe` asks the rendition's encoder.
    """

    def __init__(self, label: type[V], want_keyframe: Callable[[], None], *, ring: int = RING) -> None:
        self._label: type[V] = label
        self._want_keyframe = want_keyframe
        self._ring = ring
        self._subscribers: set[Subscription[V]] = set()
        self._requests = KeyframeRequests(self._ask)
        self._published = 0
        self._dropped_before = 0
        self._asked = 0

    def require_label(self, packet: Packet[V]) -> None:
        """Refuse what is labelled otherwise, whatever the type checker was told; raises TypeError."""
        if packet.label is not self._label:
            raise TypeError(
                f"packet {packet.seq} is not {self._label.__name__}: it may not be handed out here"
            )

    def publish(self, packet: Packet[V]) -> None:
        """Give a packet to every subscriber; never waits. Raises TypeError if it is labelled otherwise."""
        self.require_label(packet)
        self._published += 1
        # A copy: a subscriber may leave while the packet is handed out.
        for subscriber in tuple(self._subscribers):
            subscriber.offer(packet)

    def subscribe(self: "Fanout[Redacted]") -> Subscription[Redacted]:
        """Add a subscriber of redacted packets; it starts at a keyframe, which is asked for.

        mypy rejects this on a `Fanout[Raw]`: see `subscribe_by`.
        """
        return self._join()

    def subscribe_by(self: "Fanout[Raw]", grant: Grant) -> Subscription[Raw]:
        """Add a subscriber of raw packets, by a grant; raises TypeError where it is none."""
        if not isinstance(grant, Grant):
            raise TypeError("raw packets are handed out by a grant alone")
        return self._join()

    def _join(self) -> Subscription[V]:
        subscriber = Subscription(self, self._ring)
        self._subscribers.add(subscriber)
        self.want_keyframe()
        return subscriber

    def want_keyframe(self) -> None:
        """Pass a subscriber's wish on to the encoder, merged with the others'."""
        self._requests.want()

    def _ask(self) -> None:
        self._asked += 1
        self._want_keyframe()

    def leave(self, subscriber: Subscription[V]) -> None:
        """Forget a subscriber; `Subscription.close` calls it."""
        self._subscribers.discard(subscriber)
        self._dropped_before += subscriber.dropped

    @property
    def counters(self) -> FanoutCounters:
        """What happened so far."""
        dropped = self._dropped_before + sum(subscriber.dropped for subscriber in self._subscribers)
        return FanoutCounters(len(self._subscribers), self._published, dropped, self._asked)

    def close(self) -> None:
        """End every subscription."""
        self._requests.close()
        for subscriber in tuple(self._subscribers):
            subscriber.close()
