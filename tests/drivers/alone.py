"""For tests that play the part of a detector's own thread: their loop may block."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any


def by_itself(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own that nobody else waits for."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
