"""A camera without a lens: a real encoder, the real fan-out and the real server on loopback."""

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiohttp import ClientSession, ClientTimeout
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace
from multidict import CIMultiDict

from firmware.access.owner import Ownership
from firmware.config.settings import Settings
from firmware.core.frames import Packet, Raw, Redacted, Verdict
from firmware.desk import Desk, open_desk
from firmware.fanout import Fanout
from firmware.ports import Clock, SystemClock
from firmware.status import CameraStatus
from firmware.stream.options import StreamOptions
from firmware.stream.server import ServedAddress, serve
from firmware.stream.viewing import Shown, viewing

WIDTH, HEIGHT, FPS = 1280, 720, 30
MASK = (560, 240, 160, 200)
"""x, y, w, h of the solid region, as a hidden person would be."""
MASK_RGB = (200, 30, 160)
_BARS = [
    (235, 235, 235),
    (220, 210, 40),
    (40, 200, 210),
    (50, 190, 70),
    (200, 70, 190),
    (210, 60, 50),
    (50, 70, 200),
]


def picture(step: int) -> av.VideoFrame:
    """Colour bars over a moving gradient with a solid mask."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    edges = np.linspace(0, WIDTH, len(_BARS) + 1).astype(int)
    for colour, left, right in zip(_BARS, edges[:-1], edges[1:], strict=True):
        rgb[: HEIGHT * 2 // 3, left:right] = colour
    ramp = (np.arange(WIDTH)[None, :] + np.arange(HEIGHT - HEIGHT * 2 // 3)[:, None] + step * 16) % 512
    rgb[HEIGHT * 2 // 3 :] = np.minimum(ramp, 511 - ramp)[..., None].astype(np.uint8)
    ball = 60 + step * 12 % (WIDTH - 120)
    rgb[560:620, ball - 30 : ball + 30] = (255, 140, 0)
    x, y, w, h = MASK
    rgb[y : y + h, x : x + w] = MASK_RGB
    # Browsers read unmarked H.264 as BT.709.
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def make_encoder() -> av.VideoCodecContext:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.bit_rate = 2_000_000
    codec.framerate, codec.time_base = Fraction(FPS, 1), Fraction(1, FPS)
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "300",
        "forced-idr": "1",
        "level": "31",
    }
    codec.profile = "Baseline"
    return codec


class FakeCamera:
    """Encodes pictures at 30 fps in a thread and publishes them on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.fanout = Fanout(Redacted, self.want_keyframe)
        self.raw_fanout = Fanout(Raw, self.want_keyframe)
        self._loop = loop
        self._keyframe = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-camera")
        self.asked: list[float] = []
        self.made = 0

    def want_keyframe(self) -> None:
        self.asked.append(time.monotonic())
        self._keyframe.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        ring = [picture(step) for step in range(64)]
        codec = make_encoder()
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / FPS, time.monotonic() - 1)
            self._encode(codec, ring[self.made % len(ring)])

    def _encode(self, codec: av.VideoCodecContext, frame: av.VideoFrame) -> None:
        captured = time.monotonic_ns()
        forced = self._keyframe.is_set()
        self._keyframe.clear()
        frame.pict_type = PictureType.I if forced else PictureType.NONE
        frame.pts, frame.time_base = self.made, Fraction(1, FPS)
        self.made += 1
        for out in codec.encode(frame):
            packet = Packet(bytes(out), out.is_keyframe, captured, self.made, Redacted)
            self._loop.call_soon_threadsafe(self.fanout.publish, packet)
            raw = Packet(bytes(out), out.is_keyframe, captured, self.made, Raw)
            self._loop.call_soon_threadsafe(self.raw_fanout.publish, raw)


STEADY = CameraStatus(
    verdict=Verdict.VERIFIED,
    released_fps=29.97,
    latency_p50_ms=41.5,
    latency_p95_ms=63.0,
    chain="standard",
    detectors=("yunet onnxruntime", "nanodet onnxruntime"),
    width=WIDTH,
    smallest_face=16,
    smallest_body=72,
    height=HEIGHT,
    uptime_s=4242.0,
    released={Verdict.VERIFIED: 900, Verdict.PREDICTED: 80, Verdict.BLIND: 20},
    dropped={"capture": 3},
)


@dataclass
class Status:
    """A status source that a test can steer."""

    value: CameraStatus = STEADY

    def __call__(self) -> CameraStatus:
        return self.value

    def change(self, **fields: object) -> None:
        self.value = replace(self.value, **fields)  # type: ignore[arg-type]


@dataclass
class Rig:
    """What a test holds on to."""

    url: str
    fanout: Fanout[Redacted]
    http: ClientSession
    status: Status
    address: ServedAddress
    desk: Desk
    asked: list[float] = field(default_factory=list)

    @property
    def ownership(self) -> Ownership:
        return self.desk.ownership

    async def post(self, offer: str | bytes, **headers: str) -> tuple[int, CIMultiDict[str], str]:
        headers = {"Content-Type": "application/sdp"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.http.post(f"{self.url}/whep/redacted", data=offer, headers=headers) as answer:
            return answer.status, answer.headers.copy(), await answer.text()

    async def sessions(self) -> int:
        async with self.http.get(f"{self.url}/api/v1/status") as answer:
            return int((await answer.json())["viewers"])


def options_of(listen: str = "127.0.0.1:0", connect_within_s: float = 15.0, **settings: Any) -> StreamOptions:
    """What the server is told, with the settings that matter to a test."""
    told = Settings(**settings)
    return StreamOptions(lambda: told, listen, connect_within_s=connect_within_s)


@asynccontextmanager
async def rig(
    options: StreamOptions | None = None, *, camera: bool = False, clock: Clock | None = None
) -> AsyncIterator[Rig]:
    """Run fan-out and server, with a real encoder where `camera` is true."""
    chosen = options or options_of(listen="127.0.0.1:0", ice_addresses="loopback")
    fake, status = FakeCamera(asyncio.get_running_loop()), Status()
    fanout = fake.fanout
    state = await asyncio.to_thread(tempfile.TemporaryDirectory)
    try:
        desk = await open_desk(Path(state.name), clock or SystemClock(), chosen.settings())
        chosen = replace(chosen, settings=desk.settings)
        shown = Shown(
            fanout,
            fake.raw_fanout,
            desk.ownership,
            desk.people,
            desk.grants,
            desk.sessions,
            desk.audit,
        )
        seen = await viewing(chosen, shown, status)
        async with (
            asyncio.TaskGroup() as tasks,
            serve(chosen, desk.gate, (*seen.routes, *desk.routes)) as address,
            seen.running(tasks),
        ):
            if camera:
                fake.start()
            reviewing = tasks.create_task(desk.grants.run())
            async with ClientSession(timeout=ClientTimeout(total=15)) as http:
                yield Rig(address.url, fanout, http, status, address, desk, fake.asked)
            reviewing.cancel()
    finally:
        if camera:
            await asyncio.to_thread(fake.stop)
        fanout.close()
        fake.raw_fanout.close()
        await asyncio.to_thread(state.cleanup)


async def until(condition: object, within_s: float = 10.0) -> None:
    """Wait for a condition, a callable, to hold; fails after `within_s` seconds."""
    assert callable(condition)
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)
