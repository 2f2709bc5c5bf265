"""Converts NanoDet-g from its TensorFlow.js graph to ONNX, with numpy and onnx and no TensorFlow.

The published graph went ONNX → TensorFlow → TensorFlow.js and carries the scars: a transpose before and
after every convolution, paddings of their own, biases as additions. Here each value keeps the layout
NCHW; a transpose only changes how it is *seen*, so all but the last disappear, and paddings and biases
go into their convolutions. Nothing is computed, so the same two files give the same bytes on every machine.

Input `input`: float32 (1, 3, height, width), multiples of 32, BGR, standardised (core/heads/nanodet.py).
Outputs for stride s of 8, 16, 32, with N = height/s * width/s cells row by row:
`scores_s` (1, N, 80), already sigmoid, COCO order (0 is a person);
`boxes_s` (1, N, 44): left, top, right, bottom, 11 bins each, before softmax, in units of s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from firmware.provision.layers import NO_PADS, Pads
from firmware.provision.onnx_graph import ANY_PICTURE, STRIDES, OnnxGraph, converting
from firmware.provision.tfjs import Graph, Node, read_graph

CLASSES = 80
BOX_CHANNELS = 44
PUBLISHED_SIDE = 416

_SCORES = ("Identity", "Identity_1", "Identity_2")  # what the graph calls the scores of each stride
_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class _Value:
    """An ONNX value in NCHW, how TensorFlow sees it, and the padding still owed."""

    name: str
    nhwc: bool = False
    pads: Pads = NO_PADS
    stride: int = 1
    """Input pixels per pixel of this value."""

    def axis(self, seen: int) -> int:
        """Return where an axis as TensorFlow sees it lies in NCHW."""
        return _TO_NHWC[seen] if self.nhwc else seen


@converting("NanoDet")
def convert(topology: bytes, weights: bytes) -> bytes:
    """Return the ONNX file, for pictures of any size.

    Raises:
        DriverUnavailable: the package onnx is missing.
        ValueError: the graph holds something this converter does not know.
    """
    return _Conversion(read_graph(topology, weights)).run()


@dataclass(slots=True)
class _Conversion:
    """One conversion: ONNX nodes and weights as they come up, walking back from the outputs."""

    graph: Graph
    onnx: OnnxGraph = field(default_factory=OnnxGraph)
    values: dict[str, _Value] = field(default_factory=dict)

    def run(self) -> bytes:
        """Convert everything the outputs need; returns the serialised model."""
        for stride, name in zip(STRIDES, _SCORES, strict=True):
            self._head(stride, name)
        outputs = {
            f"{kind}_{stride}": (1, f"cells_{stride}", channels)
            for kind, channels in (("scores", CLASSES), ("boxes", BOX_CHANNELS))
            for stride in STRIDES
        }
        return self.onnx.serialise("nanodet-g", ANY_PICTURE, outputs)

    def _head(self, stride: int, scores: str) -> None:
        """Convert one stride: the last convolution, cells as rows, split into scores and boxes."""
        split = scores
        for op in ("Identity", "Transpose", "Reshape", "Sigmoid"):
            split = self._expect(split, op).inputs[0]
        source, sizes, _ = self._expect(split, "SplitV").inputs
        if self.graph.constants[sizes].tolist() != [CLASSES, BOX_CHANNELS]:
            raise ValueError(f"{split}: splits into {self.graph.constants[sizes]}, not scores and boxes")
        self.onnx.weight("rows", np.array([1, CLASSES + BOX_CHANNELS, -1], "<i8"))
        self.onnx.weight("parts", np.array([CLASSES, BOX_CHANNELS], "<i8"))
        flat = self.onnx.emit("Reshape", [self.value(source).name, "rows"], f"flat_{stride}")
        rows = self.onnx.emit("Transpose", [flat], f"rows_{stride}", perm=[0, 2, 1])
        logits, boxes = f"logits_{stride}", f"boxes_{stride}"
        self.onnx.emit("Split", [rows, "parts"], logits, boxes, axis=2)
        self.onnx.emit("Sigmoid", [logits], f"scores_{stride}")

    def _expect(self, name: str, op: str) -> Node:
        node = self.graph.nodes[name.partition(":")[0]]
        if node.op != op:
            raise ValueError(f"{name}: is {node.op}, expected {op}")
        return node

    def value(self, name: str) -> _Value:
        """Convert what `name` needs, once; returns its value."""
        if name not in self.values:
            node = self.graph.nodes[name]
            if node.op not in _OPERATIONS:
                raise ValueError(f"{name}: operation {node.op} is not known here")
            self.values[name] = _OPERATIONS[node.op](self, node)
        return self.values[name]

    def unpadded(self, name: str) -> _Value:
        """Convert what `name` needs, where no padding may be owed."""
        value = self.value(name)
        if value.pads != NO_PADS:
            raise ValueError(f"{name}: a padding here belongs to no convolution")
        return value


def _placeholder(_: _Conversion, __: Node) -> _Value:
    return _Value("input")


def _transpose(conversion: _Conversion, node: Node) -> _Value:
    value = conversion.value(node.inputs[0])
    order = tuple(conversion.graph.constants[node.inputs[1]].tolist())
    if order != (_TO_NCHW if value.nhwc else _TO_NHWC):
        raise ValueError(f"{node.name}: transposes by {order}, which leaves neither NCHW nor NHWC")
    return replace(value, nhwc=not value.nhwc)


def _pad(conversion: _Conversion, node: Node) -> _Value:
    """Owe the padding; a pool's minus infinity and a convolution's zero are what ONNX pads with by itself."""
    value = conversion.unpadded(node.inputs[0])
    amounts = conversion.graph.constants[node.inputs[1]].tolist()
    pads = {value.axis(seen): amount for seen, amount in enumerate(amounts)}
    if pads[0] != [0, 0] or pads[1] != [0, 0]:
        raise ValueError(f"{node.name}: pads something else than height and width")
    return replace(value, pads=(pads[2][0], pads[3][0], pads[2][1], pads[3][1]))


def _biased(conversion: _Conversion, node: Node, source: Node) -> _Value:
    value = conversion.value(source.inputs[0])
    if not value.nhwc or set(_ints(source, "dilations")) != {1}:
        raise ValueError(f"{source.name}: only plain NHWC convolutions are known here")
    kernel = conversion.graph.constants[source.inputs[1]].transpose(3, 2, 0, 1)  # HWIO to OIHW
    strides = _ints(source, "strides")[1:3]
    bias = conversion.graph.constants[node.inputs[1]].reshape(-1)
    output = conversion.onnx.emit(
        "Conv",
        [
            value.name,
            conversion.onnx.weight(f"{source.name}/w", kernel),
            conversion.onnx.weight(f"{source.name}/b", bias),
        ],
        source.name,
        kernel_shape=list(kernel.shape[2:]),
        pads=list(value.pads),
        strides=strides,
    )
    return _Value(output, nhwc=True, stride=value.stride * strides[0])


def _add(conversion: _Conversion, node: Node) -> _Value:
    source = conversion.graph.nodes[node.inputs[0]]
    if source.op == "Conv2D":
        return _biased(conversion, node, source)
    one, two = (conversion.unpadded(name) for name in node.inputs)
    if one.nhwc != two.nhwc:
        raise ValueError(f"{node.name}: adds different layouts")
    return replace(one, name=conversion.onnx.emit("Add", [one.name, two.name], node.name))


def _leaky_relu(conversion: _Conversion, node: Node) -> _Value:
    value = conversion.unpadded(node.inputs[0])
    output = conversion.onnx.emit("LeakyRelu", [value.name], node.name, alpha=float(node.attr["alpha"]["f"]))
    return replace(value, name=output)


def _max_pool(conversion: _Conversion, node: Node) -> _Value:
    value = conversion.value(node.inputs[0])
    strides = _ints(node, "strides")[1:3]
    output = conversion.onnx.emit(
        "MaxPool",
        [value.name],
        node.name,
        kernel_shape=_ints(node, "ksize")[1:3],
        pads=list(value.pads),
        strides=strides,
    )
    return _Value(output, nhwc=True, stride=value.stride * strides[0])


def _concat(conversion: _Conversion, node: Node) -> _Value:
    values = [conversion.unpadded(name) for name in node.inputs[:-1]]
    if len({value.nhwc for value in values}) != 1:
        raise ValueError(f"{node.name}: joins different layouts")
    axis = values[0].axis(int(conversion.graph.constants[node.inputs[-1]]))
    output = conversion.onnx.emit("Concat", [value.name for value in values], node.name, axis=axis)
    return replace(values[0], name=output)


def _resize(conversion: _Conversion, node: Node) -> _Value:
    """Scale by two or by a half; which, the published constants tell, made for 416 by 416."""
    value = conversion.unpadded(node.inputs[0])
    target = int(conversion.graph.constants[node.inputs[1]][0])
    stride = PUBLISHED_SIDE // target
    factor = value.stride / stride
    scales = conversion.onnx.weight(f"scale_{factor}", np.array([1, 1, factor, factor], "<f4"))
    output = conversion.onnx.emit(
        "Resize",
        [value.name, "", scales],
        node.name,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return replace(value, name=output, stride=stride)


def _ints(node: Node, attribute: str) -> list[int]:
    return [int(number) for number in node.attr[attribute]["list"]["i"]]


_OPERATIONS: Mapping[str, Callable[[_Conversion, Node], _Value]] = MappingProxyType(
    {
        "Placeholder": _placeholder,
        "Transpose": _transpose,
        "Pad": _pad,
        "PadV2": _pad,
        "Add": _add,
        "LeakyRelu": _leaky_relu,
        "MaxPool": _max_pool,
        "ConcatV2": _concat,
        "ResizeBilinear": _resize,
    }
)
