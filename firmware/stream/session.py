"""One viewer's WebRTC session: sends one rendition, receives nothing."""

import asyncio
import secrets
from typing import Generic

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)

from firmware.core.frames import V
from firmware.stream.aiortc_seams import (
    NEGOTIATION_ERRORS,
    IceGuard,
    await_handshake,
    on_keyframe_request,
    parse_candidate,
    prefer_h264,
    require_parsable,
)
from firmware.stream.answer import write_answer
from firmware.stream.feed import Feed
from firmware.stream.ice import IcePlan
from firmware.stream.offer import MAX_CANDIDATES, Fragment, read_offer
from firmware.stream.packet_track import PacketTrack
from firmware.stream.sdp import OfferUnacceptable


class NoAddress(Exception):
    """None of the addresses to offer could be bound."""


class FragmentRefused(Exception):
    """A trickle fragment is for other credentials."""


class Session(Generic[V]):
    """A peer connection with one sending track.

    `id` names it in URLs, `etag` its ICE credentials, `holder` on whose behalf it was opened.
    """

    def __init__(self, feed: Feed[V], plan: IcePlan) -> None:
        self.holder = feed.holder
        # Whoever knows the id may end the session, so it cannot be guessed.
        self.id = secrets.token_urlsafe(18)
        self.etag = f'"{secrets.token_hex(8)}"'
        self._feed: Feed[V] = feed
        self._plan = plan
        self._ufrag = ""
        self._candidates = 0
        # An empty list and not None: None would mean a public STUN server.
        self._peer = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._track: PacketTrack[V] = PacketTrack(feed)
        self._guard: IceGuard | None = None
        self._opened = asyncio.get_running_loop().time()

    async def answer(self, text: str) -> str:
        """Apply an offer and return the whole answer, candidates included.

        Raises:
            OfferMalformed, OfferUnacceptable: the offer cannot be taken.
            NoAddress: there is no address to offer.
        """
        offer = read_offer(text)
        self._ufrag, self._candidates = offer.ufrag, offer.candidates
        try:
            video = self._prepare()
            require_parsable(offer.text)
            await self._peer.setRemoteDescription(RTCSessionDescription(sdp=offer.text, type="offer"))
            if not offer.passive:
                await_handshake(video)
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except NEGOTIATION_ERRORS as exc:
            raise OfferUnacceptable("the offer has no H.264 for this camera, or is malformed") from exc
        answered = str(self._peer.localDescription.sdp)
        if "a=candidate:" not in answered:
            raise NoAddress
        return write_answer(offer, answered)

    def _prepare(self) -> RTCRtpTransceiver:
        """Make the one transceiver; its ICE connection is held to the plan."""
        video = self._peer.addTransceiver(self._track, direction="sendonly")
        prefer_h264(video)
        on_keyframe_request(video.sender, self._feed.want_keyframe)
        self._guard = IceGuard(video, self._plan)
        return video

    @property
    def refused(self) -> int:
        """Remote addresses that the plan kept out."""
        return self._guard.refused if self._guard else 0

    async def trickle(self, fragment: Fragment) -> None:
        """Add a viewer's later candidates, up to the bound; raises FragmentRefused for other credentials."""
        if fragment.ufrags and self._ufrag not in fragment.ufrags:
            raise FragmentRefused("this camera does not restart ICE; open a new session")
        # The rest is left out and not refused: there are players that end a session at any refusal.
        for text in fragment.of(self._ufrag)[: MAX_CANDIDATES - self._candidates]:
            self._candidates += 1
            candidate = parse_candidate(text)
            candidate.sdpMid = self._peer.getTransceivers()[0].mid
            try:
                await self._peer.addIceCandidate(candidate)
            except NEGOTIATION_ERRORS as exc:
                raise FragmentRefused("a candidate cannot be taken") from exc

    @property
    def connected(self) -> bool:
        """Whether media flows."""
        return bool(self._peer.connectionState == "connected")

    def dead(self, within_s: float) -> bool:
        """Say whether it failed, was closed, may not go on, or has not connected within so many seconds."""
        if not self._feed.lives():
            return True
        if self._peer.connectionState in ("failed", "closed"):
            return True
        age = asyncio.get_running_loop().time() - self._opened
        return not self.connected and age > within_s

    async def close(self) -> None:
        """End it; the viewer leaves the fan-out at once."""
        self._track.stop()
        await self._peer.close()
