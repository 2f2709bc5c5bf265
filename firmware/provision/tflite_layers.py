"""Reads the layers of a TensorFlow Lite file; its tables and weights are read as data, nothing is run.

What TensorFlow sees as rows by columns by planes, layers state as planes by rows by columns.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from firmware.provision.layers import MAX_LAYERS, NO_PADS, Every, Filter, Layer, Layers, Pads, around
from firmware.provision.tfjs import Array

IDENTIFIER = b"TFL3"
SAME, VALID = 0, 1

_DTYPES: Mapping[int, str] = MappingProxyType({0: "<f4", 1: "<f2", 2: "<i4"})
_BROKEN = (struct.error, LookupError, ArithmeticError, AttributeError, TypeError, AssertionError)
"""What the generated reader raises beside ValueError on files that are not what they claim to be."""


def read_tflite(file: bytes) -> Layers:
    """Return the layers of a TensorFlow Lite file; half-precision weights are widened, which is exact.

    Raises:
        ValueError: the file is damaged, or no single graph of a picture.
        ModuleNotFoundError: the package tflite is missing.
    """
    import tflite  # noqa: PLC0415  only set-up has tflite

    if file[4:8] != IDENTIFIER:
        raise ValueError("the file is not of TensorFlow Lite")
    try:
        return _Reader.of(tflite.Model.GetRootAs(file, 0), tflite).read()
    except _BROKEN as exc:
        raise ValueError(f"the file cannot be read as TensorFlow Lite: {exc!r}") from exc


@dataclass(slots=True)
class _Reader:
    """One graph as it is read, operation by operation."""

    model: Any
    graph: Any
    schema: Any
    """The package tflite: the tables' types and the names of operations."""
    names: Mapping[int, str]
    widened: dict[int, int] = field(default_factory=dict)
    """From a tensor to the half-precision one it is made from."""
    padded: dict[int, tuple[int, Pads]] = field(default_factory=dict)
    """From a tensor to what it pads, and how: a convolution takes it over."""

    @classmethod
    def of(cls, model: Any, schema: Any) -> "_Reader":
        """Begin with the model's only graph."""
        if model.SubgraphsLength() != 1:
            raise ValueError("the file has not exactly one graph")
        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
        return cls(model, model.Subgraphs(0), schema, names)

    def read(self) -> Layers:
        """Read every operation."""
        count = self.graph.OperatorsLength()
        if self.graph.InputsLength() != 1 or not 0 < count <= MAX_LAYERS:
            raise ValueError(f"the file has not one input and at most {MAX_LAYERS} operations")
        operators = [_Operator.of(self, self.graph.Operators(place)) for place in range(count)]
        read = [_READ.get(operator.name, _other)(operator) for operator in operators]
        return Layers(_name(self.graph.Inputs(0)), [layer for layer in read if layer is not None])

    def operation(self, place: int) -> str:
        """Return TensorFlow's name of an operation; newer files state it in a wider field than older ones."""
        if not 0 <= place < self.model.OperatorCodesLength():
            raise ValueError(f"the file has no operation {place}")
        code = self.model.OperatorCodes(place)
        return self.names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        if not 0 <= tensor < self.graph.TensorsLength():
            raise ValueError(f"the file has no tensor {tensor}")
        stated = self.graph.Tensors(tensor)
        return tuple(int(size) for size in stated.ShapeAsNumpy()) if stated.ShapeLength() else ()

    def constant(self, tensor: int) -> Array | None:
        """Return a tensor's own numbers, or None where it has none."""
        tensor = self.widened.get(tensor, tensor)
        shape, stated = self.shape(tensor), self.graph.Tensors(tensor)
        if not 0 <= stated.Buffer() < self.model.BuffersLength() or stated.Type() not in _DTYPES:
            return None
        buffer = self.model.Buffers(stated.Buffer())
        if not buffer.DataLength():
            return None
        dtype = np.dtype(_DTYPES[stated.Type()])
        if buffer.DataLength() != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"tensor {tensor} holds {buffer.DataLength()} bytes, which is not {shape}")
        numbers = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype).reshape(shape)
        return numbers.astype("<f4") if dtype == np.float16 else numbers


@dataclass(frozen=True, slots=True)
class _Operator:
    """One operation, and the reader to ask about its tensors."""

    reader: _Reader
    table: Any
    name: str
    inputs: tuple[int, ...]
    output: int

    @classmethod
    def of(cls, reader: _Reader, table: Any) -> "_Operator":
        name = reader.operation(table.OpcodeIndex())
        if not 0 < table.InputsLength() <= MAX_LAYERS or not table.OutputsLength():
            raise ValueError(f"an operation {name} has no inputs or no outputs")
        inputs = tuple(int(tensor) for tensor in table.InputsAsNumpy())
        return cls(reader, table, name, inputs, int(table.Outputs(0)))

    def options(self, kind: str) -> Any:
        """Return the operation's options, which must be of that kind."""
        schema = self.reader.schema
        if self.table.BuiltinOptionsType() != getattr(schema.BuiltinOptions, kind):
            raise ValueError(f"an operation {self.name} has other options than {kind}")
        union, options = self.table.BuiltinOptions(), getattr(schema, kind)()
        options.Init(union.Bytes, union.Pos)
        return options

    def constant(self, place: int) -> Array | None:
        """Return a constant input, or None where it is none."""
        return self.reader.constant(self.inputs[place]) if place < len(self.inputs) else None

    def layer(self, op: str, *inputs: int, **what: Any) -> Layer:
        """Return a layer that makes this operation's output."""
        return Layer(op, tuple(_name(tensor) for tensor in inputs), _name(self.output), **what)


def _name(tensor: int) -> str:
    return f"t{tensor}"


def _other(operator: _Operator) -> Layer:
    return operator.layer(f"a TensorFlow {operator.name} such as this", *operator.inputs)


def _sigmoid(operator: _Operator) -> Layer:
    return operator.layer("Sigmoid", *operator.inputs)


def _two(operator: _Operator) -> Layer:
    kind, op = {"ADD": ("AddOptions", "Add"), "MUL": ("MulOptions", "Mul")}[operator.name]
    if operator.options(kind).FusedActivationFunction():
        return _other(operator)
    return operator.layer(op, *operator.inputs)


def _dequantize(operator: _Operator) -> None:
    operator.reader.widened[operator.output] = operator.inputs[0]


def _pad(operator: _Operator) -> Layer | None:
    """Owe a padding of rows and columns to the convolution that reads it."""
    amounts = operator.constant(1)
    if amounts is None or amounts.shape != (4, 2) or amounts.dtype.kind != "i" or amounts[[0, 3]].any():
        return _other(operator)
    (top, bottom), (left, right) = amounts[1].tolist(), amounts[2].tolist()
    operator.reader.padded[operator.output] = operator.inputs[0], (top, left, bottom, right)
    return None


def _convolution(operator: _Operator) -> Layer:
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    options = operator.options("DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
    kernel, bias = operator.constant(1), operator.constant(2)
    if kernel is None or bias is None or kernel.ndim != 4 or _is_special(options):
        return _other(operator)
    if depthwise and (options.DepthMultiplier() != 1 or kernel.shape[0] != 1):
        return _other(operator)
    kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
    source, pads = operator.reader.padded.get(operator.inputs[0], (operator.inputs[0], NO_PADS))
    if options.Padding() == SAME:
        # At a stride, what TensorFlow pads depends on the size of the picture.
        if options.StrideW() != 1 or pads != NO_PADS or kernel.shape[2] != kernel.shape[3]:
            return _other(operator)
        pads = around(kernel.shape[2])
    made = Filter(kernel, bias, options.StrideW(), pads, kernel.shape[0] if depthwise else 1)
    return operator.layer("Conv", source, filter=made)


def _is_special(options: Any) -> bool:
    """Tell whether a convolution does more than convolve, or differs in rows and columns."""
    dilated = {options.DilationHFactor(), options.DilationWFactor()} != {1}
    strides_differ: bool = options.StrideH() != options.StrideW()
    return dilated or strides_differ or bool(options.FusedActivationFunction())


def _concatenation(operator: _Operator) -> Layer:
    options = operator.options("ConcatenationOptions")
    planes = len(operator.reader.shape(operator.output)) == 4 and options.Axis() in {3, -1}
    if not planes or options.FusedActivationFunction():
        return _other(operator)
    return operator.layer("Concat", *operator.inputs)


def _max_pool(operator: _Operator) -> Layer:
    options = operator.options("Pool2DOptions")
    side, strides = options.FilterHeight(), (options.StrideH(), options.StrideW())
    keeps = (
        options.Padding() == SAME and strides == (1, 1) and side % 2 == 1 and side == options.FilterWidth()
    )
    if not keeps or options.FusedActivationFunction():
        return _other(operator)
    return operator.layer("MaxPool", *operator.inputs, side=side)


def _resize(operator: _Operator) -> Layer:
    """Know doubling alone, and that only where each cell simply becomes four."""
    options = operator.options("ResizeNearestNeighborOptions")
    size, before = operator.constant(1), operator.reader.shape(operator.inputs[0])
    doubles = size is not None and size.tolist() == [2 * side for side in before[1:3]]
    if not doubles or options.AlignCorners() or options.HalfPixelCenters():
        return _other(operator)
    return operator.layer("Double", operator.inputs[0])


def _strided_slice(operator: _Operator) -> Layer:
    """Know slices of rows and columns to their ends."""
    options = operator.options("StridedSliceOptions")
    odd = options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask() or options.Offset()
    before = operator.reader.shape(operator.inputs[0])
    if odd or len(before) != 4:
        return _other(operator)
    starts, ends, steps = (operator.constant(place) for place in (1, 2, 3))
    if starts is None or ends is None or steps is None or not starts.size == ends.size == steps.size == 4:
        return _other(operator)
    first = [0 if options.BeginMask() >> axis & 1 else int(starts[axis]) for axis in range(4)]
    whole = all(options.EndMask() >> axis & 1 or ends[axis] >= before[axis] for axis in range(4))
    if not whole or (first[0], first[3], steps[0], steps[3]) != (0, 0, 1, 1):
        return _other(operator)
    every = Every((first[1], first[2]), (int(steps[1]), int(steps[2])))
    return operator.layer("Slice", operator.inputs[0], every=every)


_READ: Mapping[str, Callable[[_Operator], Layer | None]] = MappingProxyType(
    {
        "DEQUANTIZE": _dequantize,
        "PAD": _pad,
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _convolution,
        "LOGISTIC": _sigmoid,
        "MUL": _two,
        "ADD": _two,
        "CONCATENATION": _concatenation,
        "MAX_POOL_2D": _max_pool,
        "RESIZE_NEAREST_NEIGHBOR": _resize,
        "STRIDED_SLICE": _strided_slice,
    }
)
