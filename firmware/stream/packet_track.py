"""Turns a subscription into a track that hands encoded packets to aiortc as they are."""

from fractions import Fraction
from typing import Generic

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.stream import Stream

from firmware.core.frames import V
from firmware.fanout import Subscription, SubscriptionClosed
from firmware.stream.feed import Feed

CLOCK_HZ = 90_000
"""RTP clock of H.264 (RFC 6184 section 8.2.1)."""
TIME_BASE = Fraction(1, CLOCK_HZ)


class PacketTrack(MediaStreamTrack, Generic[V]):
    """One rendition for one viewer; joins the fan-out when aiortc asks for the first packet."""

    kind = "video"

    def __init__(self, feed: Feed[V]) -> None:
        super().__init__()
        self._feed: Feed[V] = feed
        self._subscription: Subscription[V] | None = None

    async def recv(self) -> "av.Packet[Stream]":
        """Wait for the next packet: Annex B, pts in 90 kHz from the capture time.

        Raises:
            MediaStreamError: the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        # Not before: a ring that fills while ICE and DTLS are under way would only drop.
        if self._subscription is None:
            self._subscription = self._feed.join()
        try:
            packet = await self._subscription.next()
        except SubscriptionClosed:
            raise MediaStreamError from None
        # Asked for every packet: whatever else is late, this one goes to nobody who may not see it.
        if not self._feed.lives():
            self.stop()
            raise MediaStreamError
        out = av.Packet(packet.data)
        out.pts = packet.captured_ns * CLOCK_HZ // 1_000_000_000
        out.time_base = TIME_BASE
        out.is_keyframe = packet.keyframe
        return out

    def stop(self) -> None:
        """End the track and leave the fan-out."""
        if self._subscription is not None:
            self._subscription.close()
        super().stop()
