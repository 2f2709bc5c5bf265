"""Checks that a converted model gives, on this machine, the outputs its manifest states.

Sums of floats differ a little between processors, so outputs are compared with a tolerance, not by hash.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from firmware.errors import SelfTestFailed
from firmware.provision.tfjs import Array

RunsModel: TypeAlias = Callable[[Path, Mapping[str, Array]], Mapping[str, Array]]
"""Runs a model file once: inputs by name in, outputs by name out."""

TOLERANCE = 5e-3
PER_OUTPUT = 6
SCORES = ("scores", "cls", "obj")
"""How outputs are called that hold scores, one for each cell; the others hold boxes."""


def waves(width: int, height: int) -> Array:
    """Return a fixed input (1, 3, height, width) from -2 to 2: waves of a size that every stride sees."""
    across = np.arange(width, dtype=np.float64) / 23
    down = np.arange(height, dtype=np.float64)[:, None] / 17
    channels = [np.sin(across + phase) + np.cos(down * (1 + phase)) for phase in (0.0, 0.5, 1.0)]
    return np.stack(channels)[None].astype(np.float32)


def pixels(width: int, height: int) -> Array:
    """Return the same waves as the values of a picture, 0 to 255, for networks that take those."""
    return np.float32(127.5) + np.float32(63) * waves(width, height)


def sample(outputs: Mapping[str, Array]) -> tuple[float, ...]:
    """Return a few numbers that stand for all outputs: highest score and some box bins of each stride."""
    found: list[float] = []
    for name in sorted(outputs):
        flat = outputs[name].reshape(-1)
        if name.startswith(SCORES):
            found.append(float(flat.max()))
        else:
            places = np.linspace(0, flat.size - 1, PER_OUTPUT).astype(np.int64)
            found += [float(value) for value in flat[places]]
    return tuple(round(value, 4) for value in found)


def check(run: RunsModel, path: Path, probe: Array, expected: Sequence[float]) -> None:
    """Run the model file on a fixed input and compare.

    Raises:
        SelfTestFailed: an output is off by more than the tolerance.
    """
    got = sample(run(path, {"input": probe}))
    worst = max(map(abs, np.subtract(got, expected)), default=0.0) if len(got) == len(expected) else np.inf
    if not worst <= TOLERANCE:  # so that NaN fails
        raise SelfTestFailed(
            f"{path}: the converted model is off by {worst:.3g} on the self-test input (at most {TOLERANCE} "
            "is allowed); reinstall onnxruntime, or report this machine's processor"
        )
