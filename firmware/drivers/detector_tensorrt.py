"""Detectors on JetPack's TensorRT: a plan is built on the device from the verified ONNX file, and kept.

A plan fits one model, one TensorRT and one GPU; it takes minutes to build, so it is kept under a name that
all of that is in. It is code of a kind: one that is not this user's, or not what was written (its SHA-256
stands before it), is not loaded but built anew.

Names are asked for, never positions: binding indices are gone since TensorRT 10. Memory and the stream come
from the CUDA runtime by ctypes, which every JetPack has.

Source: TensorRT 10 Python API (ICudaEngine, IExecutionContext, Builder, OnnxParser); CUDA Runtime API. Shown
with a double of both: the calls, the cache and the errors, and no inference.
"""

import asyncio
import ctypes
import hashlib
import importlib
import logging
import math
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware.config.drivers import TensorrtOptions
from firmware.config.model import LoadedModel
from firmware.core.cuts import Sight
from firmware.core.frames import Detection
from firmware.core.heads.found import Tensor
from firmware.core.heads.network import HEADS, Network
from firmware.core.raw import DetectorPicture
from firmware.errors import ConfigError, DetectorFailed, DriverUnavailable, OutputError
from firmware.state import written

logger = logging.getLogger(__name__)

MAGIC = b"veilcam-plan 1\n"
LARGEST = 1 << 30
"""Of a plan's file; what is larger was not made here."""
WORKSPACE = 1 << 28
TO_DEVICE, TO_HOST = 1, 2
"""cudaMemcpyKind."""
ATTRIBUTES = {"major": 75, "minor": 76}
"""cudaDevAttrComputeCapabilityMajor and Minor."""
JETPACK = (
    "JetPack's own is needed (sudo apt install python3-libnvinfer), in a venv that sees the system's "
    "packages; PyPI's tensorrt does not know this GPU"
)


class Cuda:
    """What is needed of the CUDA runtime; raises DetectorFailed where a call fails."""

    def __init__(self, library: Any) -> None:
        self._library = library

    @classmethod
    def loaded(cls) -> "Cuda":
        """Load the runtime; raises DriverUnavailable."""
        for name in ("libcudart.so", "libcudart.so.13", "libcudart.so.12"):
            try:
                return cls(ctypes.CDLL(name))
            except OSError:
                continue
        raise DriverUnavailable("detector driver 'tensorrt' needs CUDA's runtime, libcudart; install JetPack")

    def gpu(self) -> str:
        """Return which GPU it is: its compute capability."""
        found = {}
        for name, number in ATTRIBUTES.items():
            value = ctypes.c_int()
            self._call("cudaDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), ctypes.c_int(0))
            found[name] = value.value
        return f"sm_{found['major']}{found['minor']}"

    def stream(self) -> int:
        """Return a stream."""
        made = ctypes.c_void_p()
        self._call("cudaStreamCreate", ctypes.byref(made))
        return made.value or 0

    def allocate(self, size: int) -> int:
        """Return memory of the device."""
        made = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(made), ctypes.c_size_t(size))
        return made.value or 0

    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        """Begin a copy."""
        words = (ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), ctypes.c_int(kind))
        self._call("cudaMemcpyAsync", *words, ctypes.c_void_p(stream))

    def wait(self, stream: int) -> None:
        """Wait until a stream is done."""
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def free(self, memory: int) -> None:
        """Give memory back."""
        self._call("cudaFree", ctypes.c_void_p(memory))

    def destroy(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", ctypes.c_void_p(stream))

    def _call(self, name: str, *words: object) -> None:
        if code := getattr(self._library, name)(*words):
            raise DetectorFailed(f"tensorrt: {name} failed with CUDA error {code}; restart the camera")


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a plan depends on."""

    model: str
    """SHA-256 of the ONNX file."""
    tensorrt: str
    gpu: str
    precision: str
    size: tuple[int, int]
    flags: str = f"workspace={WORKSPACE}"

    @property
    def name(self) -> str:
        """Return the name of the plan's file."""
        width, height = self.size
        parts = (self.model, self.tensorrt, self.gpu, self.precision, f"{width}x{height}", self.flags)
        return f"{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}.plan"


@dataclass(frozen=True, slots=True)
class PlanCache:
    """Plans in a folder of this user's."""

    folder: Path

    def read(self, key: PlanKey) -> bytes | None:
        """Return a plan that is whole and this user's own; None where it has to be built."""
        path = self.folder / key.name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            told = os.fstat(file.fileno())
            ours = stat.S_ISREG(told.st_mode) and told.st_uid == os.geteuid() and not told.st_mode & 0o022
            if not ours or told.st_size > LARGEST:
                logger.warning("%s: is not this camera's own file; the plan is built anew", path)
                return None
            content = file.read(LARGEST)
        head = MAGIC + hashlib.sha256(content[len(MAGIC) + 32 :]).digest()
        if content[: len(head)] != head:
            logger.warning("%s: is damaged; the plan is built anew", path)
            return None
        return content[len(head) :]

    def write(self, key: PlanKey, plan: bytes) -> None:
        """Keep a plan; where that is not possible it is built again at the next start."""
        try:
            with written(self.folder / key.name, private=True) as part:
                part.write_bytes(MAGIC + hashlib.sha256(plan).digest() + plan)
        except OutputError as exc:
            logger.warning("the plan is not kept: %s", exc)


def default_plans() -> Path:
    """Return where plans are kept: under the state or cache folder of whoever runs this."""
    home = (
        os.environ.get("STATE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    )
    return Path(home) / "veilcam-plans"


def build(trt: Any, model: bytes, key: PlanKey) -> bytes:
    """Build a plan of an ONNX file for inputs of `key.size`; takes minutes. Raises DetectorFailed."""
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        said = "; ".join(str(parser.get_error(n)) for n in range(min(parser.num_errors, 3)))
        raise DetectorFailed(f"tensorrt: cannot read the model: {said}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    if key.precision == "fp16":
        if builder.platform_has_fast_fp16:
            config.set_flag(trt.BuilderFlag.FP16)
        else:
            logger.warning("this GPU has no fast 16-bit arithmetic: the plan is built with 32 bits")
    given, (width, height) = network.get_input(0), key.size
    profile = builder.create_optimization_profile()
    shape = (1, 3, height, width)
    profile.set_shape(given.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise DetectorFailed("tensorrt: the plan cannot be built; see the log, and free memory")
    return bytes(plan)


def opened(trt: Any, cache: PlanCache, model: bytes, key: PlanKey) -> Any:
    """Return an engine: of the plan that is kept, or of one built now; raises DetectorFailed."""
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    kept = cache.read(key)
    engine = None if kept is None else runtime.deserialize_cuda_engine(kept)
    if engine is None:
        if kept is not None:
            logger.warning("TensorRT does not take the plan that was kept; it is built anew")
        logger.warning(
            "building a plan for this GPU: nothing is shown until that is done, which takes minutes"
        )
        plan = build(trt, model, key)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DetectorFailed("tensorrt: does not take the plan that it built; restart the camera")
        cache.write(key, plan)
    return engine


@dataclass(frozen=True, slots=True)
class Place:
    """Memory of one tensor on the device and beside it."""

    device: int
    host: Tensor


class Engine:
    """One execution context with memory for its inputs and outputs, all by name."""

    def __init__(self, trt: Any, cuda: Cuda, engine: Any, shape: tuple[int, ...]) -> None:
        self._cuda, self._engine = cuda, engine
        self._context = engine.create_execution_context()
        self._stream = cuda.stream()
        names = [engine.get_tensor_name(n) for n in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise DetectorFailed(f"tensorrt: the model has {len(inputs)} inputs, and one is known")
        self._input = inputs[0]
        self._context.set_input_shape(self._input, shape)
        self._places: dict[str, Place] = {}
        for name in names:
            size = tuple(int(n) for n in self._context.get_tensor_shape(name))
            if min(size, default=0) < 1:
                raise DetectorFailed(f"tensorrt: the size of {name} is not known: {size}")
            host = np.zeros(size, np.float32)
            self._places[name] = Place(cuda.allocate(math.prod(size) * 4), host)
            self._context.set_tensor_address(name, self._places[name].device)

    def run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        """Return the outputs by name; raises DetectorFailed."""
        given = self._places[self._input]
        if tensor.shape != given.host.shape:
            raise DetectorFailed(f"tensorrt: the plan takes {given.host.shape}, and was given {tensor.shape}")
        given.host[:] = tensor
        self._cuda.copy(given.device, given.host.ctypes.data, given.host.nbytes, TO_DEVICE, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise DetectorFailed("tensorrt: the engine does not run; restart the camera")
        outputs = {name: place for name, place in self._places.items() if name != self._input}
        for place in outputs.values():
            self._cuda.copy(place.host.ctypes.data, place.device, place.host.nbytes, TO_HOST, self._stream)
        self._cuda.wait(self._stream)
        return {name: place.host.copy() for name, place in outputs.items()}

    def close(self) -> None:
        """Give everything back."""
        self._cuda.wait(self._stream)
        for place in self._places.values():
            self._cuda.free(place.device)
        self._cuda.destroy(self._stream)


class TensorrtDetector:
    """One network in one engine."""

    def __init__(self, name: str, engine: Engine, network: Network) -> None:
        self.name = name
        self._engine, self._network = engine, network

    @property
    def sight(self) -> Sight | None:
        """The one size of input that the plan was built for."""
        return self._network.sight

    def detect(self, picture: DetectorPicture) -> list[Detection]:
        """Find what the network knows, in pixels of `picture`; raises DetectorFailed."""
        prepared = self._network.prepare(picture.bgr)
        return self._network.detections(self._engine.run(prepared.tensor), prepared)


def _tensorrt() -> Any:
    """Import JetPack's TensorRT; raises DriverUnavailable."""
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as exc:
        raise DriverUnavailable(
            f"detector driver 'tensorrt' needs the package 'tensorrt': {JETPACK}"
        ) from exc
    if not hasattr(trt, "TensorIOMode"):
        raise DriverUnavailable(
            f"detector driver 'tensorrt': version {getattr(trt, '__version__', 'unknown')} has no tensor "
            "names; JetPack 6 or later is needed"
        )
    return trt


@asynccontextmanager
async def open_detector(options: TensorrtOptions, model: LoadedModel) -> AsyncIterator[TensorrtDetector]:
    """Load the plan, or build it.

    Raises:
        DriverUnavailable: JetPack's TensorRT or CUDA is missing.
        DetectorFailed: the model cannot be read, or the engine not be made.
        ConfigError: the manifest's head is not one of a detector.
    """
    manifest, sight = model.manifest, model.sight
    if not manifest.finds or manifest.head not in HEADS or sight is None:
        raise ConfigError(f"model {manifest.name}: head {manifest.head!r} finds nothing; name a detector")
    trt = await asyncio.to_thread(_tensorrt)
    cuda = await asyncio.to_thread(Cuda.loaded)
    # A plan is for one size: what does not fit is scaled, as for a file that fixes its input.
    fixed = Sight(sight.width, sight.height)
    network = Network(HEADS[manifest.head], model.wanted, fixed)

    def load() -> Engine:
        data = model.read()
        size = (sight.width, sight.height)
        sha256 = hashlib.sha256(data).hexdigest()
        key = PlanKey(sha256, str(trt.__version__), cuda.gpu(), options.precision, size)
        engine = opened(trt, PlanCache(default_plans()), data, key)
        return Engine(trt, cuda, engine, (1, 3, sight.height, sight.width))

    engine = await asyncio.to_thread(load)
    try:
        name = f"{manifest.name} (tensorrt, {sight.width}x{sight.height}, {options.precision})"
        yield TensorrtDetector(name, engine, network)
    finally:
        await asyncio.to_thread(engine.close)
