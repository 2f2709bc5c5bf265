"""Two tiny TensorFlow Lite models that run one after the other: each adds what it is given to itself."""

import flatbuffers
import numpy as np
import tflite


def segment(given: str, gives: str, width: int) -> bytes:
    """Return a model with one ADD: `gives` = `given` + `given`, float32 (1, width)."""
    b = flatbuffers.Builder(1024)
    texts = {text: b.CreateString(text) for text in (given, gives, "main")}
    shape = b.CreateNumpyVector(_int32([1, width]))
    tensors = [_tensor(b, texts[name], shape) for name in (given, gives)]
    tflite.AddOptionsStart(b)
    options = tflite.AddOptionsEnd(b)
    ends = {"in": b.CreateNumpyVector(_int32([0, 0])), "out": b.CreateNumpyVector(_int32([1]))}
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, 0)
    tflite.OperatorAddInputs(b, ends["in"])
    tflite.OperatorAddOutputs(b, ends["out"])
    tflite.OperatorAddBuiltinOptionsType(b, tflite.BuiltinOptions.AddOptions)
    tflite.OperatorAddBuiltinOptions(b, options)
    operator = tflite.OperatorEnd(b)
    first = b.CreateNumpyVector(_int32([0]))
    listed = {"tensors": _vector(b, tensors), "operators": _vector(b, [operator])}
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, listed["tensors"])
    tflite.SubGraphAddInputs(b, first)
    tflite.SubGraphAddOutputs(b, ends["out"])
    tflite.SubGraphAddOperators(b, listed["operators"])
    tflite.SubGraphAddName(b, texts["main"])
    graph = tflite.SubGraphEnd(b)
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, tflite.BuiltinOperator.ADD)
    tflite.OperatorCodeAddVersion(b, 1)
    tflite.OperatorCodeAddBuiltinCode(b, tflite.BuiltinOperator.ADD)
    code = tflite.OperatorCodeEnd(b)
    tflite.BufferStart(b)
    empty = tflite.BufferEnd(b)
    parts = {
        name: _vector(b, [one]) for name, one in (("codes", code), ("graphs", graph), ("buffers", empty))
    }
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, parts["codes"])
    tflite.ModelAddSubgraphs(b, parts["graphs"])
    tflite.ModelAddBuffers(b, parts["buffers"])
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def _tensor(b: flatbuffers.Builder, name: int, shape: int) -> int:
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, tflite.TensorType.FLOAT32)
    tflite.TensorAddBuffer(b, 0)
    tflite.TensorAddName(b, name)
    return int(tflite.TensorEnd(b))


def _vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _int32(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32)
