"""Runs a network on an Edge TPU, in a process and a Python of its own; detector_edgetpu starts it.

A libedgetpu and a runtime that do not fit together end in a crash, not in an error: that must not be the
camera's. This file imports nothing of the firmware, since the Python that has the runtime is another one
(3.9 or later, with numpy). It is told over a socket and answers there, one JSON object each:

    ->                       {"v": 1, "runtime": "...", "input": {...}, "outputs": [{"name", "shape"}, ...]}
    {"ping": 7}              {"ping": 7}
    {"look": 8}              {"look": 8}      input and outputs lie in shared memory, one behind the other
    ->                       {"error": "library" | "device" | "runtime" | "model", "text": "..."}

Segments of a model run one after the other, each with what the one before it gives under the same names.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

VERSION = 1
ALIGN = 64


class Refused(Exception):
    """It cannot begin; `kind` says whose fault it is."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def end_with_parent(lifeline: int) -> None:
    """End as soon as the other side of a pipe is closed: nobody reads an answer any more."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def google_pycoral() -> Any:
    """Return pycoral's `edgetpu` module; None where there is none (PyPI's pycoral is another program)."""
    try:
        from pycoral.utils import edgetpu  # noqa: PLC0415 - this Python may have it
    except ImportError:
        return None
    return edgetpu if hasattr(edgetpu, "make_interpreter") else None


def plain_runtime() -> tuple[Any, str]:
    """Return a TFLite runtime's module and what it is called."""
    for package in ("tflite_runtime", "ai_edge_litert"):
        try:
            module = __import__(f"{package}.interpreter", fromlist=["interpreter"])
        except ImportError:
            continue
        return module, package
    raise Refused("runtime", "no tflite_runtime and no ai_edge_litert in " + sys.executable)


def opened(models: Sequence[bytes], library: str, device: str) -> tuple[list[Any], str]:
    """Return an interpreter for each segment and what runs them; raises Refused."""
    options = {} if device == "any" else {"device": device}
    coral = google_pycoral()
    try:
        if coral is not None:
            delegate = coral.load_edgetpu_delegate(options)
            interpreters = [coral.make_interpreter(model, delegate=delegate) for model in models]
            name = "pycoral"
        else:
            runtime, name = plain_runtime()
            delegate = runtime.load_delegate(library, options)
            interpreters = [
                runtime.Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=1)
                for model in models
            ]
    except OSError as exc:
        raise Refused("library", str(exc)) from exc
    except ValueError as exc:
        # What a library without a TPU answers, and what a file that is no model does.
        kind = "model" if "model" in str(exc).lower() or "op" in str(exc).lower().split() else "device"
        raise Refused(kind, str(exc)) from exc
    try:
        for interpreter in interpreters:
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as exc:
        raise Refused("model", str(exc)) from exc
    return interpreters, name


class Chain:
    """Segments in sequence, between two ends of shared memory."""

    def __init__(self, interpreters: Sequence[Any], memory: mmap.mmap) -> None:
        self._interpreters = interpreters
        first, last = interpreters[0].get_input_details()[0], interpreters[-1].get_output_details()
        self.input = {"shape": [int(n) for n in first["shape"]], "dtype": np.dtype(first["dtype"]).name}
        self.outputs = [{"name": d["name"], "shape": [int(n) for n in d["shape"]]} for d in last]
        size = np.dtype(first["dtype"]).itemsize
        end = _count(first["shape"]) * size
        view = np.frombuffer(memory, dtype=np.uint8)
        self._in = view[:end].view(first["dtype"]).reshape(first["shape"])
        self._out: list[tuple[dict[str, Any], Any]] = []
        for detail in last:
            begin = -(-end // ALIGN) * ALIGN
            end = begin + _count(detail["shape"]) * 4
            if end > len(view):
                raise Refused("model", "its outputs are larger than the memory for them")
            self._out.append((detail, view[begin:end].view(np.float32)))

    def look(self) -> None:
        """Run every segment on what lies in memory, and put the outputs there."""
        values: dict[Any, Any] = {None: self._in}
        for number, interpreter in enumerate(self._interpreters):
            for detail in interpreter.get_input_details():
                interpreter.set_tensor(detail["index"], values[detail["name"] if number else None])
            interpreter.invoke()
            if interpreter is self._interpreters[-1]:
                break
            values = {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
        for detail, place in self._out:
            place[:] = self._plain(detail, self._interpreters[-1].get_tensor(detail["index"])).ravel()

    @staticmethod
    def _plain(detail: dict[str, Any], values: Any) -> Any:
        """Return what a tensor means: quantised ones have a scale and a zero point."""
        scale, zero = detail.get("quantization", (0.0, 0))
        return (values.astype("float32") - zero) * scale if scale else values.astype("float32")


def _count(shape: Iterable[int]) -> int:
    count = 1
    for one in shape:
        count *= int(one)
    return count


def main() -> int:
    """Begin, say what there is, then answer until the other side is gone."""
    control, memory, lifeline = (int(word) for word in sys.argv[1:4])
    library, device = sys.argv[4:6]
    end_with_parent(lifeline)
    told = socket.socket(fileno=control)

    def say(answer: dict[str, Any]) -> None:
        told.send(json.dumps(answer).encode())

    try:
        models = []
        for number in sys.argv[6:]:
            with os.fdopen(int(number), "rb") as file:
                file.seek(0)
                models.append(file.read())
        interpreters, runtime = opened(models, library, device)
        chain = Chain(interpreters, mmap.mmap(memory, 0))
    except Refused as exc:
        say({"error": exc.kind, "text": str(exc)[:500]})
        return 1
    say({"v": VERSION, "runtime": runtime, "input": chain.input, "outputs": chain.outputs})
    while True:
        asked = told.recv(4096)
        if not asked:
            return 0
        order = json.loads(asked)
        if "look" in order:
            chain.look()
        say(order)


if __name__ == "__main__":
    sys.exit(main())
