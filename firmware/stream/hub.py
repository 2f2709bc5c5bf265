"""Fans one encoded rendition out to every viewer; each has a bounded ring that drops to the next keyframe."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from firmware.core.frames import Packet, Redacted

RING = 16
"""Packets a viewer may lag behind, about half a second at 30 frames per second."""
KEYFRAME_INTERVAL_S = 0.5
"""Viewers together get at most one keyframe per this time, so that a lossy one cannot starve the others."""


class SubscriptionClosed(Exception):
    """The viewer or the hub has gone."""


@dataclass(frozen=True, slots=True)
class HubCounters:
    """Viewers now; packets and keyframe requests since the start."""

    viewers: int
    published: int
    dropped: int
    keyframes_asked: int


def require_redacted(packet: Packet[Redacted]) -> None:
    """Refuse what is not redacted, whatever the type checker was told.

    Raises:
        TypeError: the packet is not labelled redacted.
    """
    if packet.label is not Redacted:
        raise TypeError(f"packet {packet.seq} is not redacted: it may not be streamed here")


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


class Subscription:
    """One viewer's ring of packets; made by `RedactedHub.subscribe`."""

    def __init__(self, leave: Callable[["Subscription"], None], ask: Callable[[], None], ring: int) -> None:
        self._leave = leave
        self._ask = ask
        self._size = ring
        self._ring: deque[Packet[Redacted]] = deque()
        self._ready = asyncio.Event()
        self._awaits_keyframe = True
        self._started = False
        self._closed = False
        self.dropped = 0

    def offer(self, packet: Packet[Redacted]) -> None:
        """Take a packet, or drop to the next keyframe where the ring is full; raises TypeError if raw."""
        require_redacted(packet)
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
        # A keyframe needs nothing before it: a late viewer catches up here without asking.
        if len(self._ring) >= self._size:
            self.dropped += len(self._ring)
            self._ring.clear()

    def _drop_to_keyframe(self) -> None:
        self.dropped += len(self._ring) + 1
        self._ring.clear()
        self._ready.clear()
        self._awaits_keyframe = True
        self._ask()

    async def next(self) -> Packet[Redacted]:
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
        """Leave the hub; a waiting `next` ends."""
        if not self._closed:
            self._closed = True
            self._ring.clear()
            self._ready.set()
            self._leave(self)


def _nobody() -> None:
    """Stand for an encoder before one is there."""


class RedactedHub:
    """The redacted rendition: encoded once, shared by every viewer. Use it on the loop only."""

    def __init__(self, on_keyframe_wanted: Callable[[], None] = _nobody, *, ring: int = RING) -> None:
        self.on_keyframe_wanted = on_keyframe_wanted
        self._ring = ring
        self._viewers: set[Subscription] = set()
        self._requests = KeyframeRequests(self._ask)
        self._published = 0
        self._dropped_before = 0
        self._asked = 0

    def publish(self, packet: Packet[Redacted]) -> None:
        """Give a packet to every viewer; never waits. Raises TypeError if it is not redacted."""
        require_redacted(packet)
        self._published += 1
        # A copy: a viewer may leave while the packet is handed out.
        for viewer in tuple(self._viewers):
            viewer.offer(packet)

    def subscribe(self) -> Subscription:
        """Add a viewer; it starts at a keyframe, which is asked for."""
        viewer = Subscription(self._leave, self.want_keyframe, self._ring)
        self._viewers.add(viewer)
        self.want_keyframe()
        return viewer

    def want_keyframe(self) -> None:
        """Pass a viewer's wish on to the encoder, merged with the others'."""
        self._requests.want()

    def _ask(self) -> None:
        self._asked += 1
        self.on_keyframe_wanted()

    def _leave(self, viewer: Subscription) -> None:
        self._viewers.discard(viewer)
        self._dropped_before += viewer.dropped

    @property
    def counters(self) -> HubCounters:
        """What happened so far."""
        dropped = self._dropped_before + sum(viewer.dropped for viewer in self._viewers)
        return HubCounters(len(self._viewers), self._published, dropped, self._asked)

    def close(self) -> None:
        """End every subscription."""
        self._requests.close()
        for viewer in tuple(self._viewers):
            viewer.close()
