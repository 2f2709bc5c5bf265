"""Small clips made for a test."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from firmware.core.frames import Planes
from firmware.core.scene import write_number


def write_clip(
    path: Path, frames: int = 50, width: int = 640, height: int = 64, fps: int = 25, noise: int = 219
) -> None:
    """Write a clip whose every frame carries its number (see core.scene) on so many levels of noise."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "bf": "0", "g": "10"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        rng = np.random.default_rng(0)
        for n in range(frames):
            i420 = rng.integers(16, 16 + noise, (height * 3 // 2, width), dtype=np.uint8)
            write_number(Planes.of(i420).y, n)
            frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
