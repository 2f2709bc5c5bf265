"""A viewer made of plain aiortc on 127.0.0.1."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from firmware.stream.aiortc_seams import IceGuard
from firmware.stream.ice import IcePlan

LOOPBACK = IcePlan(("127.0.0.1",), loopback_only=True)


class Viewer:
    """A peer connection with the first track it was sent."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in kinds:
            transceiver = self.peer.addTransceiver(kind, direction="recvonly")
            IceGuard(transceiver, LOOPBACK)
        self.track: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
        self.peer.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and not self.track.done():
            self.track.set_result(track)

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def take(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def frame(self, within_s: float = 10.0) -> av.VideoFrame:
        async with asyncio.timeout(within_s):
            frame = await (await self.track).recv()
        assert isinstance(frame, av.VideoFrame)
        return frame

    async def ask_keyframe(self) -> None:
        """Send a PLI for the stream that is received."""
        receiver = next(t.receiver for t in self.peer.getTransceivers() if t.kind == "video")
        for source in receiver.getSynchronizationSources():
            await receiver._send_rtcp_pli(source.source)


@asynccontextmanager
async def viewer(*kinds: str) -> AsyncIterator[Viewer]:
    made = Viewer(kinds or ("video",))
    try:
        yield made
    finally:
        await made.peer.close()


def strip_candidates(offer: str) -> str:
    """An offer as a trickling player posts it."""
    return "".join(
        line for line in offer.splitlines(keepends=True) if "candidate" not in line and "end-of" not in line
    )


def candidates(offer: str) -> list[str]:
    return [line for line in offer.splitlines() if line.startswith("a=candidate")]
