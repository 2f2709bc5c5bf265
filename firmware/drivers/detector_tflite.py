"""Detectors on LiteRT (ai-edge-litert) or, where that is missing, its forerunner tflite-runtime; CPU."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from firmware.config.drivers import TfliteOptions
from firmware.config.model import LoadedModel
from firmware.core.frames import Detection
from firmware.core.heads.network import HEADS, Network
from firmware.core.raw import DetectorPicture
from firmware.errors import ConfigError, DetectorFailed, DriverUnavailable, ModelError

RUNTIMES = ("ai_edge_litert", "tflite_runtime")
"""Packages with the same `interpreter.Interpreter`, the faster one first."""


class TfliteDetector:
    """One network in one interpreter; its input has a fixed size."""

    def __init__(self, name: str, interpreter: Any, network: Network) -> None:
        self.name = name
        self.sight = network.sight
        self._interpreter = interpreter
        self._network = network
        self._input = interpreter.get_input_details()[0]["index"]
        self._outputs = {d["name"]: d["index"] for d in interpreter.get_output_details()}

    def detect(self, picture: DetectorPicture) -> list[Detection]:
        """Find what the network knows, in pixels of `picture`.

        Raises:
            DetectorFailed: the runtime refused the picture.
        """
        prepared = self._network.prepare(picture.bgr)
        try:
            self._interpreter.set_tensor(self._input, prepared.tensor)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as exc:
            raise DetectorFailed(f"{self.name}: {exc}") from exc
        values = {
            name: np.asarray(self._interpreter.get_tensor(index), np.float32)
            for name, index in self._outputs.items()
        }
        return self._network.detections(values, prepared)


@asynccontextmanager
async def open_detector(options: TfliteOptions, model: LoadedModel) -> AsyncIterator[TfliteDetector]:
    """Load the model.

    Raises:
        DriverUnavailable: neither runtime is installed.
        ModelError: the file cannot be loaded.
        ConfigError: the manifest's head is not one of a detector.
    """
    manifest = model.manifest
    if not manifest.finds or manifest.head not in HEADS:
        raise ConfigError(f"model {manifest.name}: head {manifest.head!r} finds nothing; name a detector")
    if model.fixed is None:
        raise ConfigError(f"model {manifest.name}: a TFLite file has one size of input; state it")
    network = Network(HEADS[manifest.head], model.wanted, model.sight)
    interpreter = await asyncio.to_thread(_interpreter, model, options.threads)
    yield TfliteDetector(f"{manifest.name} (tflite, {model.fixed[0]}x{model.fixed[1]})", interpreter, network)


def _interpreter(model: LoadedModel, threads: int) -> Any:
    kind, data = _interpreter_class(), model.read()
    try:
        interpreter = kind(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise ModelError(
            f"model {model.manifest.name}: tflite cannot load it: {exc}; run scripts/fetch-models"
        ) from exc
    return interpreter


def _interpreter_class() -> Any:
    for package in RUNTIMES:
        try:
            return importlib.import_module(f"{package}.interpreter").Interpreter
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] != package:
                raise  # the package is there but broken
    raise DriverUnavailable(
        "detector driver 'tflite' needs the package 'ai-edge-litert' (or 'tflite-runtime'); "
        "install it with: pip install ai-edge-litert"
    )
