"""Reads the layers of an ONNX file; nothing but its own bytes is read, and nothing is run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from firmware.provision.layers import MAX_LAYERS, Every, Filter, Layer, Layers, around
from firmware.provision.tfjs import Array

_DTYPES: Mapping[int, str] = MappingProxyType({1: "<f4", 7: "<i8"})
_TO_THE_END = 2**31 - 1


def read_onnx(file: bytes) -> Layers:
    """Return the layers of an ONNX file.

    Raises:
        ValueError: the file is damaged, or no graph of a picture.
        ModuleNotFoundError: the package onnx is missing.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415  comes with onnx
    from onnx import ModelProto  # noqa: PLC0415  only set-up has onnx

    try:
        graph = ModelProto.FromString(file).graph
    except DecodeError as exc:
        raise ValueError(f"the file cannot be read as ONNX: {exc}") from exc
    if len(graph.input) != 1 or len(graph.node) > MAX_LAYERS:
        raise ValueError(f"the file has not one input and at most {MAX_LAYERS} operations")
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    nodes = [_Node.of(node, constants) for node in graph.node if node.output]
    return Layers(graph.input[0].name, [_READ.get(node.op, _other)(node) for node in nodes])


def _constant(tensor: Any) -> Array:
    """Return a weight; one that names another file has no bytes here, and that file is never opened."""
    if tensor.data_type not in _DTYPES:
        raise ValueError(f"weight {tensor.name} is of type {tensor.data_type}, which is not known here")
    dtype, shape = np.dtype(_DTYPES[tensor.data_type]), tuple(tensor.dims)
    if len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"weight {tensor.name} holds {len(tensor.raw_data)} bytes, which is not {shape}")
    return np.frombuffer(tensor.raw_data, dtype).reshape(shape)


@dataclass(frozen=True, slots=True)
class _Node:
    """A node with its attributes by name and its inputs split into values and constants."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    constants: Mapping[str, Array]

    @classmethod
    def of(cls, node: Any, constants: Mapping[str, Array]) -> "_Node":
        attributes = {attribute.name: attribute for attribute in node.attribute}
        return cls(node.op_type, tuple(node.input), node.output[0], attributes, constants)

    def ints(self, name: str, *default: int) -> tuple[int, ...]:
        """Return an attribute of several integers, or its default."""
        return tuple(self.attributes[name].ints) if name in self.attributes else default

    def integer(self, name: str, default: int) -> int:
        """Return an attribute of one integer, or its default."""
        return int(self.attributes[name].i) if name in self.attributes else default

    def word(self, name: str) -> bytes:
        """Return an attribute of text, or nothing."""
        return bytes(self.attributes[name].s) if name in self.attributes else b""

    def constant(self, place: int) -> Array | None:
        """Return a constant input, or None where it is none."""
        return self.constants.get(self.inputs[place]) if place < len(self.inputs) else None


def _other(node: _Node) -> Layer:
    return Layer(f"an ONNX {node.op} such as this", node.inputs, node.output)


def _plain(node: _Node) -> Layer:
    return Layer(node.op, node.inputs, node.output)


def _conv(node: _Node) -> Layer:
    kernel, bias = node.constant(1), node.constant(2)
    strides, pads = node.ints("strides", 1, 1), node.ints("pads", 0, 0, 0, 0)
    plain = set(node.ints("dilations", 1)) == {1} and node.word("auto_pad") in {b"", b"NOTSET"}
    if kernel is None or bias is None or not plain or len(set(strides)) != 1 or len(pads) != 4:
        return _other(node)
    top, left, bottom, right = pads
    made = Filter(kernel, bias, strides[0], (top, left, bottom, right), node.integer("group", 1))
    return Layer("Conv", node.inputs[:1], node.output, made)


def _concat(node: _Node) -> Layer:
    return _plain(node) if node.integer("axis", 0) == 1 else _other(node)


def _max_pool(node: _Node) -> Layer:
    sides, pads = node.ints("kernel_shape"), node.ints("pads", 0, 0, 0, 0)
    keeps = len(set(sides)) == 1 and sides[0] % 2 == 1 and pads == around(sides[0])
    if not keeps or set(node.ints("strides", 1)) != {1} or set(node.ints("dilations", 1)) != {1}:
        return _other(node)
    return Layer("MaxPool", node.inputs, node.output, side=sides[0])


def _resize(node: _Node) -> Layer:
    """Know doubling alone, and that only where each cell simply becomes four."""
    scales = node.constant(2)
    nearest = (b"nearest", b"asymmetric", b"floor")
    how = tuple(node.word(name) for name in ("mode", "coordinate_transformation_mode", "nearest_mode"))
    if scales is None or scales.tolist() != [1, 1, 2, 2] or how != nearest:
        return _other(node)
    return Layer("Double", node.inputs[:1], node.output)


def _slice(node: _Node) -> Layer:
    """Know slices of one axis, rows or columns, to its end."""
    stated = [node.constant(place) for place in range(1, 5)]
    numbers = [int(n) for one in stated if one is not None and one.dtype.kind == "i" for n in one.reshape(-1)]
    if len(numbers) != 4 or numbers[1] < _TO_THE_END or numbers[2] not in {2, 3}:
        return _other(node)
    first, _, axis, step = numbers
    every = Every((first, 0), (step, 1)) if axis == 2 else Every((0, first), (1, step))
    return Layer("Slice", node.inputs[:1], node.output, every=every)


_READ: Mapping[str, Callable[[_Node], Layer]] = MappingProxyType(
    {
        "Conv": _conv,
        "Sigmoid": _plain,
        "Mul": _plain,
        "Add": _plain,
        "Concat": _concat,
        "MaxPool": _max_pool,
        "Resize": _resize,
        "Slice": _slice,
    }
)
