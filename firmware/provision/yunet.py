"""Converts YuNet-s from the shared library its authors publish to ONNX, with numpy, onnx and pyelftools.

The library (libfacedetection) keeps the network's float32 weights as named data symbols. They are read as
bytes and laid into the graph that the library computes; nothing of it is run, so a library built for another
processor does as well. How they lie there: `pw` kernels (out, in); `dw` kernels (9 taps, channels); the first
kernel (out, 32), of which 27 are its 3 x 3 taps of 3 channels and 5 fill up. Landmarks are left out.

Input `input`: float32 (1, 3, h, w), BGR, 0 to 255 as it is; h and w multiples of 32.
Outputs for stride s of 8, 16, 32, with N = h/s * w/s cells row by row: `cls_s` and `obj_s` (1, N, 1), already
sigmoid; `bbox_s` (1, N, 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from firmware.provision.elf import read_floats
from firmware.provision.onnx_graph import ANY_PICTURE, STRIDES, OnnxGraph, converting
from firmware.provision.tfjs import Array

HEADS = {"cls": 1, "obj": 1, "bbox": 4}
"""Outputs of each stride and how many numbers they have per cell."""
FIRST_TAPS, FIRST_ROW = 27, 32


@converting("YuNet-s")
def convert(library: bytes) -> bytes:
    """Return the ONNX file, for pictures of any multiples of 32 pixels.

    Raises:
        DriverUnavailable: the package onnx or pyelftools is missing.
        ValueError: the library does not hold these weights.
    """
    return _Network(read_floats(library, ("_weight", "_bias"))).run()


@dataclass(frozen=True, slots=True)
class _Value:
    name: str
    channels: int


@dataclass(slots=True)
class _Network:
    """YuNet-s as it is laid out, weight by weight."""

    weights: Mapping[str, Array]
    onnx: OnnxGraph = field(default_factory=OnnxGraph)

    def run(self) -> bytes:
        """Lay the whole network out; returns the serialised model."""
        levels = self._neck(self._backbone())
        for head, numbers in HEADS.items():
            for index, (stride, level) in enumerate(zip(STRIDES, levels, strict=True)):
                self._head(f"{head}_{stride}", f"bbox_head__multi_level_{head}__{index}", level, numbers)
        outputs = {
            f"{head}_{stride}": (1, f"cells_{stride}", numbers)
            for head, numbers in HEADS.items()
            for stride in STRIDES
        }
        return self.onnx.serialise("yunet-s", ANY_PICTURE, outputs)

    def _backbone(self) -> list[_Value]:
        """Lay out the backbone; returns its values of strides 8, 16, 32."""
        value = self._relu(self._first("backbone__model0"))
        value = self._pool(self._separable(value, "backbone__model0_dp"))
        value = self._unit(self._unit(value, "backbone__model1"), "backbone__model2")
        levels = []
        for stage in (3, 4, 5):
            value = self._unit(self._pool(value), f"backbone__model{stage}")
            levels.append(value)
        return levels

    def _neck(self, levels: list[_Value]) -> list[_Value]:
        """Hand what coarse levels saw down to the finer ones."""
        mixed = [self._separable(levels[2], "neck__lateral_convs__2")]
        for index in (1, 0):
            doubled = self.onnx.doubled(mixed[0].name, f"{mixed[0].name}/doubled")
            added = self.onnx.emit("Add", [doubled, levels[index].name], f"neck__added__{index}")
            if mixed[0].channels != levels[index].channels:
                raise ValueError(f"{added}: {mixed[0].channels} and {levels[index].channels} channels")
            value = _Value(added, levels[index].channels)
            mixed.insert(0, self._separable(value, f"neck__lateral_convs__{index}"))
        return mixed

    def _head(self, output: str, key: str, level: _Value, numbers: int) -> None:
        """Lay out one output of one stride: its numbers cell by cell."""
        value = self._depthwise(self._pointwise(level, key), key)
        if value.channels != numbers:
            raise ValueError(f"{key}: gives {value.channels} numbers per cell, expected {numbers}")
        last = self.onnx.emit("Transpose", [value.name], f"{output}/last", perm=[0, 2, 3, 1])
        rows = self.onnx.weight(f"rows_{numbers}", np.array([1, -1, numbers], "<i8"))
        if numbers == 1:
            logits = self.onnx.emit("Reshape", [last, rows], f"{output}/logits")
            self.onnx.emit("Sigmoid", [logits], output)
        else:
            self.onnx.emit("Reshape", [last, rows], output)

    def _unit(self, value: _Value, key: str) -> _Value:
        return self._separable(self._separable(value, f"{key}_dp1"), f"{key}_dp2")

    def _separable(self, value: _Value, key: str) -> _Value:
        return self._relu(self._depthwise(self._pointwise(value, key), key))

    def _first(self, key: str) -> _Value:
        """Lay out the first convolution, which reads the picture at every second pixel."""
        channels = self._channels(f"{key}_pw")
        rows = self._take(f"{key}_pw_weight", channels, FIRST_ROW)[:, :FIRST_TAPS]
        kernel = rows.reshape(channels, 3, 3, 3).transpose(0, 3, 1, 2)
        return self._convolution("input", f"{key}_pw", kernel, pads=[1] * 4, strides=[2, 2])

    def _pointwise(self, value: _Value, key: str) -> _Value:
        kernel = self._take(f"{key}_pw_weight", self._channels(f"{key}_pw"), value.channels, 1, 1)
        return self._convolution(value.name, f"{key}_pw", kernel)

    def _depthwise(self, value: _Value, key: str) -> _Value:
        taps = self._take(f"{key}_dw_weight", 9, value.channels)
        kernel = taps.T.reshape(value.channels, 1, 3, 3)
        return self._convolution(value.name, f"{key}_dw", kernel, pads=[1] * 4, group=value.channels)

    def _convolution(self, source: str, key: str, kernel: Array, **attributes: object) -> _Value:
        channels = kernel.shape[0]
        weight = self.onnx.weight(f"{key}_weight", kernel)
        bias = self.onnx.weight(f"{key}_bias", self._take(f"{key}_bias", channels))
        shape = list(kernel.shape[2:])
        self.onnx.emit("Conv", [source, weight, bias], key, kernel_shape=shape, **attributes)
        return _Value(key, channels)

    def _relu(self, value: _Value) -> _Value:
        return _Value(self.onnx.emit("Relu", [value.name], f"{value.name}/relu"), value.channels)

    def _pool(self, value: _Value) -> _Value:
        half = {"kernel_shape": [2, 2], "strides": [2, 2]}
        return _Value(self.onnx.emit("MaxPool", [value.name], f"{value.name}/pool", **half), value.channels)

    def _channels(self, key: str) -> int:
        bias = self.weights.get(f"{key}_bias")
        if bias is None:
            raise ValueError(f"the library has no symbol {key}_bias")
        return int(bias.size)

    def _take(self, key: str, *shape: int) -> Array:
        """Return one weight in the shape that it must have."""
        array = self.weights.get(key)
        if array is None:
            raise ValueError(f"the library has no symbol {key}")
        if array.size != np.prod(shape):
            raise ValueError(f"symbol {key} has {array.size} numbers, expected {shape}")
        return array.reshape(shape)
