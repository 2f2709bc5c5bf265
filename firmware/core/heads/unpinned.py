"""Lets an ONNX file that states fixed sizes take pictures of any size, without the onnx package.

CenterFace's file states a batch of 10 pictures of 32 x 32, though nothing in its graph depends on that, and
lists its weights as inputs, which keeps the runtime from folding them (a third of the running time). Both
are mended on the bytes: a protobuf message is a run of (key, value) fields (protobuf.dev, "Encoding").
"""

from collections.abc import Callable, Iterator

MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
INITIALIZER_NAME = 8
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIM, DIM_VALUE = 1, 2, 1, 1
CHANNELS_AXIS = 1
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, bytes]
"""Number, wire type and payload (for LENGTH without its length)."""


def unpinned(model: bytes) -> bytes:
    """Return the model with free sizes but for channels, and without weights among its inputs.

    Raises:
        ValueError: these are not the bytes of an ONNX model.
    """
    return _rewritten(model, MODEL_GRAPH, _unpinned_graph)


def _unpinned_graph(graph: bytes) -> bytes:
    fields = list(_fields(graph))
    weights = {_text(value, INITIALIZER_NAME) for number, _, value in fields if number == GRAPH_INITIALIZER}
    out = bytearray()
    for number, wire, value in fields:
        if number == GRAPH_INPUT and _text(value, VALUE_NAME) in weights:
            continue
        free = _freed(value) if number in (GRAPH_INPUT, GRAPH_OUTPUT) else value
        out += _encoded(number, wire, free)
    return bytes(out)


def _freed(value_info: bytes) -> bytes:
    def tensor(message: bytes) -> bytes:
        return _rewritten(message, TENSOR_SHAPE, _free_shape)

    return _rewritten(value_info, VALUE_TYPE, lambda kind: _rewritten(kind, TYPE_TENSOR, tensor))


def _free_shape(shape: bytes) -> bytes:
    out = bytearray()
    for axis, (number, wire, dim) in enumerate(_fields(shape)):
        fixed = axis == CHANNELS_AXIS or number != SHAPE_DIM
        out += _encoded(number, wire, dim if fixed else b"")
    return bytes(out)


def _rewritten(message: bytes, wanted: int, change: Callable[[bytes], bytes]) -> bytes:
    out = bytearray()
    for number, wire, value in _fields(message):
        out += _encoded(number, wire, change(value) if number == wanted and wire == LENGTH else value)
    return bytes(out)


def _text(message: bytes, wanted: int) -> bytes:
    return next((value for number, _, value in _fields(message) if number == wanted), b"")


def _fields(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        start = at
        if wire == VARINT:
            _, at = _varint(message, at)
        elif wire == LENGTH:
            size, start = _varint(message, at)
            at = start + size
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"not an ONNX model: wire type {wire} at byte {start}")
        if at > len(message):
            raise ValueError(f"not an ONNX model: a field ends behind the end at byte {start}")
        yield number, wire, message[start:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"not an ONNX model: a number has no end at byte {at}")


def _encoded(number: int, wire: int, value: bytes) -> bytes:
    head = _number(number << 3 | wire)
    return head + (_number(len(value)) if wire == LENGTH else b"") + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
