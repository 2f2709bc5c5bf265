"""Converts YOLOX-nano, from an ONNX or a TensorFlow Lite file that fixes one size, to ONNX of any size.

Both kinds of file hold the same network, the latter with everything up to finished boxes behind it. It is
laid out anew from its layers up to its last convolutions, of which the classes not wanted are left out. The
network begins by taking the picture apart into four of half its size (Focus); that and the convolution after
it become one of 6 x 6 at every second pixel, with the same sums. Nothing else is computed, so the same file
gives the same bytes on every machine.

Input `input`: float32 (1, 3, h, w), BGR, 0 to 255 as it is; h and w multiples of 32.
Outputs for stride s of 8, 16, 32: `reg_s` (1, 4, h/s, w/s), `obj_s` (1, 1, h/s, w/s) and `cls_s`
(1, classes, h/s, w/s), as they leave the convolutions. The score is sigmoid(obj) * sigmoid(cls); the centre
of the box is the cell's column and row plus the first two of reg, its size exp of the others, all times s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from firmware.provision.layers import Every, Filter, Layer, Layers, around
from firmware.provision.onnx_graph import ANY_PICTURE, STRIDES, OnnxGraph, converting
from firmware.provision.onnx_layers import read_onnx
from firmware.provision.tflite_layers import read_tflite

BODY_AND_HEAD = (0, 1)
"""The classes wanted of body, head and hand."""
PERSON = (0,)
"""The class wanted of COCO's 80."""
BOX = 4


def body_and_head(file: bytes) -> bytes:
    """Return the ONNX file of the network for bodies and heads, out of its TensorFlow Lite file.

    Raises:
        DriverUnavailable: the package onnx or tflite is missing.
        ValueError: the file holds something else than this network.
    """
    return _convert(read_tflite, file, "yolox-body-head", BODY_AND_HEAD)


def person(file: bytes) -> bytes:
    """Return the ONNX file of the network for people, out of its own ONNX file.

    Raises:
        DriverUnavailable: the package onnx is missing.
        ValueError: the file holds something else than this network.
    """
    return _convert(read_onnx, file, "yolox-person", PERSON)


@converting("YOLOX")
def _convert(read: Callable[[bytes], Layers], file: bytes, name: str, classes: Sequence[int]) -> bytes:
    return _Layout(read(file), classes).run(name)


@dataclass(frozen=True, slots=True)
class _Value:
    name: str
    planes: int
    stride: int
    """Input pixels per cell."""


@dataclass(slots=True)
class _Layout:
    """The network as it is laid out, layer by layer in the file's order."""

    source: Layers
    classes: Sequence[int]
    onnx: OnnxGraph = field(default_factory=OnnxGraph)
    values: dict[str, _Value] = field(default_factory=dict)
    pieces: dict[str, tuple[Every, ...]] = field(default_factory=dict)
    """Values that are the picture, or parts of it one after the other."""

    def run(self, name: str) -> bytes:
        """Lay everything out that the heads need; returns the serialised model."""
        heads = _heads(self.source.layers)
        self.pieces[self.source.picture] = (Every(),)
        for layer in _needed(self.source.layers, heads):
            self._lay(layer, heads.get(layer.output))
        planes = {"reg": BOX, "obj": 1, "cls": len(self.classes)}
        outputs = {
            f"{kind}_{stride}": (1, count, f"rows_{stride}", f"columns_{stride}")
            for kind, count in planes.items()
            for stride in STRIDES
        }
        laid = {value.name: value.planes for value in self.values.values() if value.name in outputs}
        if len(heads) != len(outputs) or laid != {output: shape[1] for output, shape in outputs.items()}:
            raise ValueError("the file's last convolutions are not those of strides 8, 16 and 32")
        return self.onnx.serialise(name, ANY_PICTURE, outputs)

    def _lay(self, layer: Layer, head: str | None) -> None:
        if all(name in self.pieces for name in layer.inputs) and layer.op in {"Slice", "Concat"}:
            self.pieces[layer.output] = self._picture(layer)
            return
        if layer.op not in _OPERATIONS:
            raise ValueError(f"{layer.output}: {layer.op} is not known here")
        if head is not None and layer.filter is not None:
            self.values[layer.output] = self._head(layer, layer.filter, head)
        else:
            name = f"{layer.op.lower()}_{len(self.onnx.nodes)}"
            self.values[layer.output] = _OPERATIONS[layer.op](self, layer, name)

    def _picture(self, layer: Layer) -> tuple[Every, ...]:
        """Follow how the picture is taken apart and put together."""
        parts = [part for name in layer.inputs for part in self.pieces[name]]
        return tuple(part.then(layer.every) if layer.every else part for part in parts)

    def _head(self, layer: Layer, last: Filter, kind: str) -> _Value:
        """Lay out one of the last convolutions, of which only wanted classes stay."""
        if kind == "cls":
            rows = list(self.classes)
            if min(last.kernel.shape[0], last.bias.shape[0]) <= max(rows):
                raise ValueError(f"{layer.output}: has fewer classes than those wanted, {rows}")
            last = replace(last, kernel=last.kernel[rows], bias=last.bias[rows])
        value = self.one(layer)
        return self.convolution(value, last, f"{kind}_{value.stride}")

    def one(self, layer: Layer) -> _Value:
        """Return the only value that a layer reads."""
        (value,) = self.inputs(layer, 1)
        return value

    def inputs(self, layer: Layer, count: int) -> list[_Value]:
        """Return the values that a layer reads, which must be so many."""
        lacking = [name for name in layer.inputs if name not in self.values]
        if lacking or len(layer.inputs) != count:
            raise ValueError(
                f"{layer.output}: {layer.op} reads {layer.inputs}, expected {count} known values"
            )
        return [self.values[name] for name in layer.inputs]

    def convolution(self, value: _Value, made: Filter, name: str) -> _Value:
        """Add a convolution."""
        kernel = made.kernel
        plain = kernel.dtype == made.bias.dtype == np.float32 and kernel.ndim == 4
        fits = plain and made.groups > 0 and kernel.shape[1] * made.groups == value.planes
        if not fits or made.bias.shape != kernel.shape[:1] or made.stride < 1:
            raise ValueError(f"{name}: a kernel of {kernel.shape} does not fit {value.planes} planes")
        weights = self.onnx.weight(f"{name}/kernel", kernel), self.onnx.weight(f"{name}/bias", made.bias)
        self.onnx.emit(
            "Conv",
            [value.name, *weights],
            name,
            kernel_shape=list(kernel.shape[2:]),
            pads=list(made.pads),
            strides=[made.stride] * 2,
            group=made.groups,
        )
        return _Value(name, kernel.shape[0], value.stride * made.stride)


def _conv(layout: _Layout, layer: Layer, name: str) -> _Value:
    if layer.filter is None:
        raise ValueError(f"{layer.output}: a convolution without a kernel")
    if pieces := layout.pieces.get(layer.inputs[0]):
        return layout.convolution(_Value("input", 3, 1), _stem(layer.filter, pieces), name)
    return layout.convolution(layout.one(layer), layer.filter, name)


def _stem(made: Filter, pieces: Sequence[Every]) -> Filter:
    """Return the first convolution over four pieces of the picture as one over the picture itself."""
    planes = made.kernel.shape
    if {piece.step for piece in pieces} != {(2, 2)} or planes[1:] != (12, 3, 3) or made.groups != 1:
        raise ValueError(f"the network does not begin with Focus: {planes} over {len(pieces)} pieces")
    firsts = [piece.first for piece in pieces]
    if sorted(firsts) != [(0, 0), (0, 1), (1, 0), (1, 1)] or made.pads != around(3) or made.stride != 1:
        raise ValueError(f"the network does not begin with Focus: pieces from {firsts}")
    kernel = np.zeros((planes[0], 3, 6, 6), "<f4")
    for place, (down, right) in enumerate(firsts):
        kernel[:, :, down::2, right::2] = made.kernel[:, 3 * place : 3 * place + 3]
    return replace(made, kernel=kernel, stride=2, pads=(2, 2, 2, 2))


def _sigmoid(layout: _Layout, layer: Layer, name: str) -> _Value:
    value = layout.one(layer)
    return replace(value, name=layout.onnx.emit("Sigmoid", [value.name], name))


def _two(layout: _Layout, layer: Layer, name: str) -> _Value:
    left, right = layout.inputs(layer, 2)
    if (left.planes, left.stride) != (right.planes, right.stride):
        raise ValueError(f"{layer.output}: {layer.op} of {left} and {right}")
    return replace(left, name=layout.onnx.emit(layer.op, [left.name, right.name], name))


def _concat(layout: _Layout, layer: Layer, name: str) -> _Value:
    values = layout.inputs(layer, len(layer.inputs))
    if len({value.stride for value in values}) != 1:
        raise ValueError(f"{layer.output}: joins values of different sizes")
    layout.onnx.emit("Concat", [value.name for value in values], name, axis=1)
    return _Value(name, sum(value.planes for value in values), values[0].stride)


def _max_pool(layout: _Layout, layer: Layer, name: str) -> _Value:
    value = layout.one(layer)
    window = {"kernel_shape": [layer.side] * 2, "pads": list(around(layer.side)), "strides": [1, 1]}
    return replace(value, name=layout.onnx.emit("MaxPool", [value.name], name, **window))


def _double(layout: _Layout, layer: Layer, name: str) -> _Value:
    value = layout.one(layer)
    if value.stride % 2:
        raise ValueError(f"{layer.output}: would be larger than the picture")
    return replace(value, name=layout.onnx.doubled(value.name, name), stride=value.stride // 2)


_OPERATIONS: Mapping[str, Callable[[_Layout, Layer, str], _Value]] = MappingProxyType(
    {
        "Conv": _conv,
        "Sigmoid": _sigmoid,
        "Mul": _two,
        "Add": _two,
        "Concat": _concat,
        "MaxPool": _max_pool,
        "Double": _double,
    }
)


def _heads(layers: Sequence[Layer]) -> Mapping[str, str]:
    """Return the last convolutions and what they give: what each level joins before boxes are made of it."""
    made = {layer.output: layer for layer in layers}
    found: dict[str, str] = {}
    for layer in layers:
        if layer.op == "Concat" and len(layer.inputs) == 3:
            reg, *scores = (made.get(name) for name in layer.inputs)
            sigmoids = [score for score in scores if score and score.op == "Sigmoid"]
            logits = [made.get(name) for score in sigmoids for name in score.inputs]
            last = [one for one in (reg, *logits) if one and one.op == "Conv"]
            if len(last) == 3:
                found |= dict(zip((one.output for one in last), ("reg", "obj", "cls"), strict=True))
    return found


def _needed(layers: Sequence[Layer], outputs: Mapping[str, str]) -> list[Layer]:
    """Return the layers that the outputs need, in the file's order."""
    wanted, kept = set(outputs), list[Layer]()
    for layer in reversed(layers):
        if layer.output in wanted:
            kept.append(layer)
            wanted.update(layer.inputs)
    return kept[::-1]
