"""Pictures and clips made for a test: bright squares play the people, and a detector finds those."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from firmware.cli import parser
from firmware.config.model import ModelCache
from firmware.core.frames import Detection, Kind, Plane
from firmware.core.geometry import Box
from firmware.core.raw import DetectorPicture
from firmware.redact import work
from firmware.redact.look import Eye
from firmware.redact.plan import Planner, as_live, thorough
from firmware.redact.views import whole


class BrightSquares:
    """Finds what is brighter than any background of these tests; `blink` makes it miss looks."""

    name = "bright squares"
    sight = None

    def __init__(self, blink: Callable[[int], bool] = lambda look: False) -> None:
        self._blink = blink
        self.looks = 0

    def detect(self, picture: DetectorPicture) -> list[Detection]:
        self.looks += 1
        if self._blink(self.looks - 1):
            return []
        bright = (picture.bgr.min(axis=2) > 215).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        boxes = [Box(*map(float, row[:4])) for row in stats[1:] if row[4] > 40]
        return [Detection(Kind.FACE, box, 0.9) for box in boxes]


Run = Callable[..., int]


@pytest.fixture
def squares() -> BrightSquares:
    return BrightSquares()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, squares: BrightSquares) -> Run:
    """Runs `veilcam redact` with squares for people; returns the exit status."""

    async def live(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
        return as_live([squares])

    async def every(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
        return thorough([Eye(squares, whole, {Kind.FACE: 0.5})])

    monkeypatch.setattr(work, "live_planner", live)
    monkeypatch.setattr(work, "thorough_planner", every)
    return command


def command(*args: object) -> int:
    """Run `veilcam redact ARGS`; wrong use ends with 2 as for a shell."""
    try:
        return parser.run(["redact", *map(str, args)])
    except SystemExit as exc:
        return int(exc.code or 0)


def background(width: int, height: int, n: int = 0) -> Plane:
    """A smooth picture (h, w, 3) that moves with `n` and that codecs keep well."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [90 + 50 * np.sin((x + 3 * n) / 40 + k) + 30 * np.cos(y / 30 + k) for k in range(3)]
    return np.stack(waves, -1).clip(0, 200).astype(np.uint8)


def with_square(bgr: Plane, x: int, y: int, side: int = 24) -> Plane:
    bgr[y : y + side, x : x + side] = 250
    return bgr


def write_clip(
    path: Path,
    pictures: Sequence[Plane],
    stamps: Sequence[int] | None = None,
    *,
    codec: str = "libx264",
    sound: bool = False,
    time_base: Fraction = Fraction(1, 25),
) -> None:
    """Write pictures as a clip with tags, and with sound if asked."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Secret Title", "location": "+52.1+013.2/"})
        options = {"preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "mpeg4":
            stream.bit_rate = 4_000_000
        stream.codec_context.time_base = time_base
        audio = container.add_stream("aac", rate=48_000) if sound else None
        for n, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = (stamps[n] if stamps else n), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            noise.rate = 48_000
            container.mux(audio.encode(noise))
            container.mux(audio.encode(None))


def read_clip(path: Path) -> list[Plane]:
    """Read as the scorer does: OpenCV, decode order, BGR."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            capture.release()
            return frames
        frames.append(np.asarray(frame, np.uint8))


def painted(regions: Sequence[object], height: int, width: int) -> Plane:
    """Return where a regions file says something was hidden, as the scorer paints it."""
    mask = np.zeros((height, width), np.uint8)
    for region in regions:
        if region == "all":
            mask[:] = 1
            continue
        assert isinstance(region, list)
        x, y, w, h = region
        mask[max(0, y) : y + h, max(0, x) : x + w] = 1
    return mask.astype(bool)
