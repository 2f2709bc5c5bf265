"""Tells a person how a download goes: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

EVERY_S = 5.0
MIB = 1 << 20


def say(line: str) -> None:
    """Write one line for people."""
    print(f"models: {line}", file=sys.stderr, flush=True)  # noqa: T201  set-up's own voice


class Progress:
    """Progress of one download of `total` bytes, of which `done` are there."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done = label, total, done
        self._told = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=label, total=total, initial=done, unit="B", unit_scale=True, leave=False, file=sys.stderr
            )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count `count` more bytes."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._told >= EVERY_S:
            self._told = time.monotonic()
            say(f"{self._label}: {self._done / MIB:.0f} of {self._total / MIB:.0f} MiB")
