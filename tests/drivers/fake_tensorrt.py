"""A double of TensorRT's name-based API and of the CUDA runtime: a "plan" is the model, run by onnxruntime.

It has nothing of what TensorRT 10 has not (binding indices, lists of bindings), so that a call of such a name
fails here as it does there.
"""

import ctypes
import hashlib
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

PLAN = b"plan of "


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


@dataclass
class FakeCudart:
    """cudart: memory of the "device" is memory of this process, and is counted."""

    held: dict[int, Any] = field(default_factory=dict)
    streams: set[int] = field(default_factory=set)
    fails: str = ""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and name == object.__getattribute__(self, "fails"):
            return lambda *words: 2
        return object.__getattribute__(self, name)

    def cudaDeviceGetAttribute(self, out: Any, number: ctypes.c_int, device: ctypes.c_int) -> int:  # noqa: N802
        out._obj.value = {75: 8, 76: 7}[number.value]
        return 0

    def cudaStreamCreate(self, out: Any) -> int:  # noqa: N802
        out._obj.value = max(self.streams, default=76) + 1
        self.streams.add(out._obj.value)
        return 0

    def cudaStreamDestroy(self, stream: ctypes.c_void_p) -> int:  # noqa: N802
        self.streams.remove(stream.value or 0)
        return 0

    def cudaStreamSynchronize(self, stream: ctypes.c_void_p) -> int:  # noqa: N802
        return 0

    def cudaMalloc(self, out: Any, size: ctypes.c_size_t) -> int:  # noqa: N802
        made = ctypes.create_string_buffer(size.value)
        self.held[ctypes.addressof(made)] = made
        out._obj.value = ctypes.addressof(made)
        return 0

    def cudaFree(self, memory: ctypes.c_void_p) -> int:  # noqa: N802
        del self.held[memory.value or 0]
        return 0

    def cudaMemcpyAsync(self, to: Any, source: Any, size: Any, kind: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memmove(to.value, source.value, size.value)
        return 0


class Context:
    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert tuple(shape) == self._engine.shape, "outside the profile"
        session = self._engine.session
        outputs = session.run(None, {name: np.zeros(shape, np.float32)})
        self._shapes = {name: tuple(shape)}
        for one, value in zip(session.get_outputs(), outputs, strict=True):
            self._shapes[one.name] = value.shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream >= 77, "a stream that was made"
        session, given = self._engine.session, self._engine.session.get_inputs()[0].name
        outputs = session.run(None, {given: self._at(given).copy()})
        for one, value in zip(session.get_outputs(), outputs, strict=True):
            self._at(one.name)[:] = value
        return True

    def _at(self, name: str) -> np.ndarray:
        shape = self._shapes[name]
        size = int(np.prod(shape)) * 4
        raw = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(raw, np.float32).reshape(shape)


class Engine:
    def __init__(self, model: bytes, shape: tuple[int, ...]) -> None:
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.shape = shape

    @property
    def num_io_tensors(self) -> int:
        return len(self.session.get_inputs()) + len(self.session.get_outputs())

    def get_tensor_name(self, n: int) -> str:
        return str([*self.session.get_inputs(), *self.session.get_outputs()][n].name)

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == self.session.get_inputs()[0].name else Mode.OUTPUT

    def create_execution_context(self) -> Context:
        return Context(self)


@dataclass
class FakeTensorrt:
    """The module; `built` lists what was built."""

    version: str = "10.7.0"
    fast_fp16: bool = True
    takes_kept: bool = True
    built: list[dict[str, Any]] = field(default_factory=list)

    TensorIOMode = Mode
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(FP16="fp16")

    @property
    def __version__(self) -> str:
        return self.version

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None: ...

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        return SimpleNamespace(deserialize_cuda_engine=self._deserialized)

    def _deserialized(self, plan: bytes) -> Engine | None:
        head, _, rest = plan.partition(b"\n")
        if not head.startswith(PLAN) or (not self.takes_kept and not self.built):
            return None
        shape = tuple(int(n) for n in head[len(PLAN) :].split(b","))
        return Engine(rest, shape)

    def Builder(self, log: Any) -> Any:  # noqa: N802
        flags: list[str] = []
        first = SimpleNamespace(name="input")
        held: dict[str, Any] = {}
        config = SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: held.update(pool=(pool, size)),
            set_flag=flags.append,
            add_optimization_profile=lambda profile: None,
        )

        def build(network: Any, config: Any) -> bytes:
            told = {"flags": tuple(flags), "sha256": hashlib.sha256(network.model).hexdigest(), **held}
            self.built.append(told)
            shape = ",".join(str(n) for n in held["shape"])
            return PLAN + shape.encode() + b"\n" + bytes(network.model)

        return SimpleNamespace(
            platform_has_fast_fp16=self.fast_fp16,
            create_network=lambda flags: SimpleNamespace(model=b"", get_input=lambda n: first),
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(
                set_shape=lambda name, low, best, high: held.update(shape=best)
            ),
            build_serialized_network=build,
        )

    def OnnxParser(self, network: Any, log: Any) -> Any:  # noqa: N802
        def parse(model: bytes) -> bool:
            network.model = model
            try:
                onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            except Exception:  # noqa: BLE001 - onnxruntime's errors have no class in common
                return False
            return True

        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda n: "not an ONNX file")
