"""A thread of its own for one stage: pixels are worked on here, never on the event loop.

The thread is a daemon, unlike those of `concurrent.futures`: a detector that hangs in native code must not
keep the process from ending.
"""

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]

JOIN_S = 2.0
"""How long the end waits for the call under way."""


class Worker:
    """Runs one call at a time in its own thread, `niceness` below normal, and adds up its CPU time."""

    def __init__(self, name: str, niceness: int = 0) -> None:
        self.cpu_ns = 0
        self._niceness = niceness
        # Two places: the call under way and the sentinel that ends the thread.
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=2)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._jobs.put_nowait(None)
        # Whatever the thread still reads must not be freed under it; one that hangs is left behind.
        await asyncio.to_thread(self._thread.join, JOIN_S)

    def start(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Begin `call` and return its future; calls must not overlap."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        # Whoever began the call may be gone when it fails; then nobody asks, and asyncio need not complain.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._jobs.put_nowait((loop, future, call))
        return future

    def _work(self) -> None:
        if self._niceness:
            # On Linux a thread has a priority of its own: setpriority(2), notes.
            # Whoever started the process with more niceness than this may not be given less.
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            before = time.thread_time_ns()
            result: Any = None
            failure: BaseException | None = None
            try:
                result = call()
            except BaseException as exc:  # noqa: BLE001 - handed to whoever awaits the future
                failure = exc
            self.cpu_ns += time.thread_time_ns() - before
            del job, call
            try:
                loop.call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:  # the loop has closed: nobody waits any more
                return


def _settle(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
