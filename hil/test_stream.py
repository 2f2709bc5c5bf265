"""The picture as somebody elsewhere gets it: WHEP over the bench's network, and nobody in it."""

import asyncio
import time

import aiohttp
import av
import cv2
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from hil.bench import Bench, trusting
from hil.results import Results


class Player:
    """A plain WebRTC player; closes with its block."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()

    def _take(self, track: MediaStreamTrack) -> None:
        if not self._track.done():
            self._track.set_result(track)

    async def __aenter__(self) -> "Player":
        self._peer.addTransceiver("video", direction="recvonly")
        self._peer.on("track", self._take)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        timeout = aiohttp.ClientTimeout(total=20 * self._bench.slow)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(
                f"{self._bench.url}/whep/redacted",
                data=self._peer.localDescription.sdp,
                headers={"Content-Type": "application/sdp"},
                ssl=trusting(),
            ) as answered,
        ):
            text = await answered.text()
            assert answered.status == 201, text
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=text, type="answer"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._peer.close()

    async def frame(self) -> av.VideoFrame:
        """Return the next picture."""
        async with asyncio.timeout(30 * self._bench.slow):
            frame = await (await self._track).recv()
        assert isinstance(frame, av.VideoFrame)
        return frame


async def shown(bench: Bench, count: int) -> list[np.ndarray]:
    """Return pictures from elsewhere, as BGR."""
    async with Player(bench) as player:
        return [(await player.frame()).to_ndarray(format="bgr24") for _ in range(count)]


async def moving(bench: Bench, count: int) -> list[np.ndarray]:
    """Return pictures that differ; those that are hidden whole are all alike."""
    found: dict[bytes, np.ndarray] = {}
    async with Player(bench) as player:
        for _ in range(300):
            picture = (await player.frame()).to_ndarray(format="bgr24")
            found.setdefault(picture.tobytes(), picture)
            if len(found) > count:
                return list(found.values())[1:]
    raise AssertionError("nothing moves")


@pytest.mark.lg_feature("scene")
async def test_pictures_come_by_whep_and_nobody_is_in_them(bench: Bench, results: Results) -> None:
    from hil.looks import faces  # noqa: PLC0415 - the models are needed here for this alone

    await bench.until_shown(120)
    begun = time.monotonic()
    pictures = await moving(bench, 4)
    results.figure("offer to a moving picture", time.monotonic() - begun, "s of the rig")
    assert all(picture.shape[:2] == (360, 640) for picture in pictures)
    assert [await faces(np.asarray(cv2.resize(picture, (960, 544)), np.uint8)) for picture in pictures] == [
        []
    ] * 4


async def test_a_viewer_that_goes_leaves_nothing(bench: Bench) -> None:
    await shown(bench, 1)
    await bench.until(lambda told: told["viewers"] == 0, 120, "the viewer is forgotten")
