"""Detectors on onnxruntime, on the CPU."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from firmware.config.drivers import OnnxOptions
from firmware.config.model import LoadedModel
from firmware.core.cuts import Sight
from firmware.core.frames import Detection
from firmware.core.heads.network import HEADS, Network
from firmware.core.heads.unpinned import unpinned
from firmware.core.raw import DetectorPicture
from firmware.errors import ConfigError, DetectorFailed, ModelError

FAILURES = (
    RuntimeError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NotImplemented,
    native.RuntimeException,
)
"""What the runtime raises; its own errors have no common root but Exception."""


class OnnxDetector:
    """One network in one onnxruntime session."""

    def __init__(self, name: str, session: onnxruntime.InferenceSession, network: Network) -> None:
        self.name = name
        self.sight = network.sight
        self._session = session
        self._network = network
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]

    def detect(self, picture: DetectorPicture) -> list[Detection]:
        """Find what the network knows, in pixels of `picture`.

        Raises:
            DetectorFailed: the runtime refused the picture.
        """
        prepared = self._network.prepare(picture.bgr)
        try:
            values = self._session.run(self._outputs, {self._input: prepared.tensor})
        except FAILURES as exc:
            raise DetectorFailed(f"{self.name}: {_line(exc)}") from exc
        return self._network.detections(dict(zip(self._outputs, values, strict=True)), prepared)


@asynccontextmanager
async def open_detector(options: OnnxOptions, model: LoadedModel) -> AsyncIterator[OnnxDetector]:
    """Load the model.

    Raises:
        ModelError: the file cannot be loaded.
        ConfigError: the manifest's head is not one of a detector.
    """
    network = _network(model)
    session = await asyncio.to_thread(_session, model, options.threads)
    where = "any size" if model.sight is None else f"{model.sight.width}x{model.sight.height}"
    yield OnnxDetector(f"{model.manifest.name} (onnx, {where})", session, network)


def _network(model: LoadedModel) -> Network:
    manifest = model.manifest
    if not manifest.finds or manifest.head not in HEADS:
        raise ConfigError(f"model {manifest.name}: head {manifest.head!r} finds nothing; name a detector")
    return Network(HEADS[manifest.head], model.wanted, model.sight)


def _session(model: LoadedModel, threads: int) -> onnxruntime.InferenceSession:
    """Load a model for its inputs; one that states another size is loaded with its sizes set free."""
    data = model.read()
    try:
        session = _loaded(data, threads, model.sight)
        height, width = session.get_inputs()[0].shape[2:]
        if isinstance(width, str) or (width, height) == model.fixed:
            return session
        return _loaded(unpinned(data), threads, model.sight)
    except (ValueError, *FAILURES) as exc:
        raise ModelError(
            f"model {model.manifest.name}: onnxruntime cannot load it: {_line(exc)}; run scripts/fetch-models"
        ) from exc


def _loaded(model: bytes, threads: int, sight: Sight | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A camera waits between looks: spinning threads would burn a core over nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Plans of memory are kept for every size of input: few for a camera's picture, and for any picture they
    # would only pile up.
    options.enable_mem_pattern = sight is not None
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())
