"""A real camera process, and the judge of pictures that came out of it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from firmware.core.frames import Kind
from firmware.core.geometry import Box
from firmware.core.scene import read_number, truth

FILL_BGR = (57, 49, 45)
"""The mask's colour as a browser shows it (BT.709, limited range)."""

TOLERANCE = 14


@dataclass(frozen=True, slots=True)
class Running:
    """A camera that serves."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def camera(
    state: Path,
    *args: str,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    descriptors: int | None = None,
) -> Iterator[Running]:
    """Run `veilcam run` on the laptop board for the length of the block; it must end well when asked to.

    `log` is where its standard error goes, `descriptors` how many it may have open.
    """
    limited = [] if descriptors is None else ["prlimit", f"--nofile={descriptors}:{descriptors}"]
    run = [sys.executable, "-m", "firmware", "run", "--board", "laptop", "--listen", "127.0.0.1:0"]
    with ExitStack() as opened:
        process = subprocess.Popen(
            [*limited, *run, "--state", str(state), *args],
            stdout=subprocess.PIPE,
            stderr=None if log is None else opened.enter_context(log.open("wb")),
            text=True,
            env={**os.environ, "VEILCAM_ICE_ADDRESSES": "loopback", **(env or {})},
        )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("ready http://127.0.0.1:"), first
        yield Running(process, first.split()[1])
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


def is_fill(part: npt.NDArray[np.uint8]) -> bool:
    """Tell whether every pixel of a BGR part is the mask's colour, within what encoding does to it."""
    return bool((np.abs(part.astype(int) - FILL_BGR) <= TOLERANCE).all())


def inner(box: Box, margin: float = 6) -> tuple[slice, slice]:
    """Return the rows and columns of a box without its edge, which encoding blurs."""
    x0, y0, x1, y1 = box.x + margin, box.y + margin, box.right - margin, box.bottom - margin
    return slice(int(y0), max(int(y0) + 1, int(y1))), slice(int(x0), max(int(x0) + 1, int(x1)))


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture: its frame number (None where that cannot be read), and the faces that show in it."""

    number: int | None
    blind: bool
    showing: Sequence[Box]


def judge(bgr: npt.NDArray[np.uint8]) -> Judged:
    """Hold a picture of the scene against the truth for the frame number it carries."""
    luma = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    number = read_number(luma)
    if number is None:
        return Judged(None, is_fill(bgr), ())
    height, width = bgr.shape[:2]
    faces = [d.box for d in truth(number, 30, width, height) if d.kind is Kind.FACE]
    return Judged(number, blind=False, showing=[box for box in faces if not is_fill(bgr[inner(box)])])
