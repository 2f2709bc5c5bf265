"""Detectors on a Coral Edge TPU: the runtime lives in a child process (edgetpu_child), this is its other end.

A libedgetpu that does not fit its runtime crashes; a TPU that is pulled out may hang. Either ends the child
alone: a look that fails, comes late or makes no sense ends in DetectorFailed, the picture is blind, and the
detector is opened again as often as its limit allows. Nothing falls back to the CPU.

Shown with a double of libedgetpu, a library with the same entry points and no TPU: not what a TPU
answers, nor how fast.
"""

import asyncio
import contextlib
import json
import math
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware.config.drivers import EdgetpuOptions
from firmware.config.model import LoadedModel
from firmware.core.cuts import Sight
from firmware.core.frames import Detection
from firmware.core.heads.found import Tensor
from firmware.core.heads.network import HEADS, Network
from firmware.core.raw import DetectorPicture
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import ConfigError, DetectorFailed, DriverUnavailable

CHILD = Path(__file__).with_name("edgetpu_child.py")
VERSION = 1
ALIGN = 64
"""Where the child puts each output, in bytes: as edgetpu_child has it."""
MEMORY = 1 << 24
"""Shared memory: a 300x300 picture and every box fit many times over."""
LONGEST = 1 << 16
INIT_S, PING_S, ANSWER_S = 30.0, 2.0, 1.0
"""Deadlines: a TPU on USB takes its firmware at the first start, which is seconds."""

INSTALL = (
    "install libedgetpu and a TFLite runtime of the same version (a maintained build names its own), "
    "and give `python` in the board file if they belong to another Python"
)
REFUSALS: Mapping[str, str] = {
    "library": "libedgetpu is missing",
    "runtime": "there is no TFLite runtime",
    "device": "no Coral TPU was found: plug it in, and see that this user may use it (scripts/system)",
    "model": "the TPU's runtime does not take the model: run scripts/fetch-models; do versions fit?",
}


@dataclass(frozen=True, slots=True)
class Ends:
    """The child's input and outputs, as it told them, and where each lies in shared memory."""

    shape: tuple[int, ...]
    dtype: str
    outputs: tuple[tuple[str, tuple[int, ...], int], ...]

    @classmethod
    def read(cls, told: Mapping[str, object]) -> "Ends":
        """Check what the child says of itself; raises ValueError, KeyError, TypeError."""
        first = told["input"]
        listed = told["outputs"]
        if not isinstance(first, dict) or not isinstance(listed, list) or not 0 < len(listed) <= 16:
            raise ValueError("input or outputs are missing")
        dtype = str(first["dtype"])
        if dtype not in ("uint8", "int8", "float32"):
            raise ValueError(f"its input is {dtype}")
        shape = _shape(first["shape"])
        end = math.prod(shape) * np.dtype(dtype).itemsize
        outputs = []
        for one in listed:
            begin = -(-end // ALIGN) * ALIGN
            size = _shape(one["shape"])
            outputs.append((str(one["name"]), size, begin))
            end = begin + math.prod(size) * 4
        if end > MEMORY:
            raise ValueError("it is too large")
        return cls(shape, dtype, tuple(outputs))


def _shape(told: object) -> tuple[int, ...]:
    if not isinstance(told, list) or not 0 < len(told) <= 6:
        raise ValueError("a shape is missing")
    if not all(isinstance(n, int) and 0 < n <= 1 << 20 for n in told):
        raise ValueError("a shape makes no sense")
    return tuple(told)


class Child:
    """The process at the TPU; its methods wait for it and raise DetectorFailed, DriverUnavailable."""

    def __init__(self, options: EdgetpuOptions, models: Sequence[bytes]) -> None:
        self._asked = 0
        self._doing = "beginning"
        with ExitStack() as opened:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(theirs.close)
            self._control = ours
            memory = _in_memory("input", b"")
            opened.callback(os.close, memory)
            os.ftruncate(memory, MEMORY)
            self._memory = mmap.mmap(memory, MEMORY)
            read_end, self._lifeline = os.pipe()
            opened.callback(os.close, read_end)
            files = [_in_memory("model", model) for model in models]
            for file in files:
                opened.callback(os.close, file)
            passed = (theirs.fileno(), memory, read_end)
            words = [str(one) for one in passed] + [options.library, options.device, *map(str, files)]
            try:
                self._process = subprocess.Popen(
                    [options.python or sys.executable, "-I", str(CHILD), *words],
                    pass_fds=(*passed, *files),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as exc:
                self._control.close()
                os.close(self._lifeline)
                raise DriverUnavailable(
                    f"detector driver 'edgetpu': {options.python} cannot be run: {exc.strerror}; {INSTALL}"
                ) from exc

    def begin(self) -> tuple[str, Ends]:
        """Return the runtime's name and the model's ends, once it is loaded and answers."""
        told = self._heard(INIT_S)
        if refused := told.get("error"):
            why = " ".join(str(told.get("text")).split())
            text = f"detector driver 'edgetpu': {REFUSALS.get(str(refused), refused)} ({why})"
            if refused in ("library", "runtime"):
                raise DriverUnavailable(f"{text}; {INSTALL}")
            raise DetectorFailed(text)
        if told.get("v") != VERSION:
            raise DetectorFailed("edgetpu: its process speaks another version; install this one again")
        try:
            ends = Ends.read(told)
        except (ValueError, KeyError, TypeError) as exc:
            raise DetectorFailed(f"edgetpu: the model at the TPU makes no sense: {exc}") from exc
        self._ask("ping", PING_S)
        return str(told.get("runtime")), ends

    def look(self, ends: Ends, tensor: Tensor) -> dict[str, Tensor]:
        """Return the outputs of one input."""
        if tensor.shape != ends.shape:
            raise ConfigError(f"edgetpu: the model takes {ends.shape}, and the manifest gives {tensor.shape}")
        there = np.frombuffer(self._memory, ends.dtype, tensor.size).reshape(ends.shape)
        there[:] = tensor if ends.dtype == "float32" else np.rint(tensor)
        self._ask("look", ANSWER_S)
        return {
            name: np.frombuffer(self._memory, np.float32, math.prod(shape), at).reshape(shape).copy()
            for name, shape, at in ends.outputs
        }

    def close(self) -> None:
        """End the process, whatever it does, and wait until it is gone."""
        self._control.close()
        os.close(self._lifeline)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        # A look that was cut off may still point into it; then it goes with that.
        with contextlib.suppress(BufferError):
            self._memory.close()

    def _ask(self, what: str, within_s: float) -> None:
        self._asked += 1
        self._doing = what
        order = {what: self._asked}
        try:
            self._control.send(json.dumps(order).encode())
        except OSError as exc:
            raise self._dead() from exc
        if self._heard(within_s) != order:
            raise DetectorFailed(f"edgetpu: its process answers a {what} with something else; it is ended")

    def _heard(self, within_s: float) -> dict[str, object]:
        self._control.settimeout(within_s)
        try:
            said = self._control.recv(LONGEST)
        except TimeoutError as exc:
            raise DetectorFailed(
                f"edgetpu: no answer to a {self._doing} within {within_s:g} s; its process is ended"
            ) from exc
        except OSError as exc:
            raise self._dead() from exc
        if not said:
            raise self._dead()
        try:
            return read_json(said, LONGEST)
        except NotStrict as exc:
            raise DetectorFailed("edgetpu: its process sends no JSON; it is ended") from exc

    def _dead(self) -> DetectorFailed:
        try:
            code = self._process.wait(PING_S)
        except subprocess.TimeoutExpired:
            return DetectorFailed(f"edgetpu: its process closed the line at a {self._doing}; it is ended")
        if code < 0:
            name = signal.Signals(-code).name
            return DetectorFailed(
                f"edgetpu: its process died of {name} at a {self._doing}: libedgetpu and the runtime are "
                f"probably of different versions; {INSTALL}"
            )
        return DetectorFailed(f"edgetpu: its process ended with {code} at a {self._doing}")


def _in_memory(name: str, content: bytes) -> int:
    """Return a file in memory: what was verified is what the child reads, whatever becomes of the disk."""
    handle = os.memfd_create(f"veilcam-{name}", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(content)
    return handle


class EdgetpuDetector:
    """One model at the TPU."""

    def __init__(self, name: str, child: Child, ends: Ends, network: Network) -> None:
        self.name = name
        self._child, self._ends, self._network = child, ends, network
        self._failed = False

    @property
    def sight(self) -> Sight | None:
        """The one size of input that the model takes."""
        return self._network.sight

    def detect(self, picture: DetectorPicture) -> list[Detection]:
        """Find what the network knows, in pixels of `picture`; raises DetectorFailed, and from then on."""
        if self._failed:
            raise DetectorFailed(f"{self.name}: failed before; it has to be opened again")
        prepared = self._network.prepare(picture.bgr)
        try:
            values = self._child.look(self._ends, prepared.tensor)
            return self._network.detections(values, prepared)
        except DetectorFailed:
            self._failed = True
            raise


@asynccontextmanager
async def open_detector(options: EdgetpuOptions, model: LoadedModel) -> AsyncIterator[EdgetpuDetector]:
    """Start the child and load the model.

    Raises:
        DriverUnavailable: the library or a runtime for it is missing.
        DetectorFailed: there is no TPU, or its process crashed, hung, or answered rubbish.
        ConfigError: the manifest's head is not one of a detector.
    """
    manifest = model.manifest
    if not manifest.finds or manifest.head not in HEADS:
        raise ConfigError(f"model {manifest.name}: head {manifest.head!r} finds nothing; name a detector")
    network = Network(HEADS[manifest.head], model.wanted, model.sight)
    child = await asyncio.to_thread(lambda: Child(options, [read() for read in (model.read, *model.rest)]))
    try:
        runtime, ends = await asyncio.to_thread(child.begin)
        yield EdgetpuDetector(f"{manifest.name} (edgetpu by {runtime})", child, ends, network)
    finally:
        await asyncio.to_thread(child.close)
