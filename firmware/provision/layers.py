"""The operations of a convolutional network, planes by rows by columns, whatever file they were read from."""

from collections.abc import Sequence
from dataclasses import dataclass

from firmware.provision.tfjs import Array

MAX_LAYERS = 4096
"""A few times what a small network has, so that a damaged count cannot keep us busy."""

Pads = tuple[int, int, int, int]
"""Top, left, bottom, right, as ONNX orders them."""
NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Filter:
    """A convolution: kernel (out, in of one group, height, width), bias (out,), and how it moves."""

    kernel: Array
    bias: Array
    stride: int
    pads: Pads
    groups: int


@dataclass(frozen=True, slots=True)
class Every:
    """Which rows and columns a slice takes: every `step`th (down, right) from `first` on."""

    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)

    def then(self, other: "Every") -> "Every":
        """Return what a slice of this slice takes."""
        (down, right), (rows, columns) = self.first, self.step
        first = (down + rows * other.first[0], right + columns * other.first[1])
        return Every(first, (rows * other.step[0], columns * other.step[1]))


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation by ONNX's name (`Double` makes each cell four), or a description of one not known.

    A reader states what it cannot express as an unknown operation, and never fails on it: what comes after a
    network's own outputs is of no concern.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    filter: Filter | None = None
    every: Every | None = None
    side: int = 0
    """Cells along one side of what a MaxPool looks at, around each cell."""


@dataclass(frozen=True, slots=True)
class Layers:
    """All operations in the file's order, and what the file calls the picture."""

    picture: str
    layers: Sequence[Layer]


def around(side: int) -> Pads:
    """Return the padding that keeps the size under a window of an odd number of cells."""
    return ((side - 1) // 2,) * 4
