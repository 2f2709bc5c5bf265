"""Keeps the last few frames before release, so that who is first seen now is hidden in them too.

A frame leaves when what is known about it is settled (it was looked at, or looks before and after it are
in), one for each frame that comes, so that the stream stays even. A slow look makes the queue longer, up to
its limit; when looks have been quick for a while it gets shorter again.
"""

from collections import deque
from collections.abc import Callable

from firmware.core.raw import RawFrame

CALM = 60
"""Frames in a row that were settled early before the queue is made one shorter."""


class Hold:
    """A queue of leased frames, oldest first, between `least` and `most` long."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._frames: deque[RawFrame] = deque()
        self._calm = 0

    def keep(self, least: int) -> None:
        """Keep at least so many from now on, and never more than the limit."""
        self._least = min(least, self._most)

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: RawFrame, settled: Callable[[RawFrame], bool]) -> list[RawFrame]:
        """Keep a frame; returns those to release now, oldest first, with their leases."""
        self._frames.append(frame)
        due = []
        if self._is_due(settled):
            due.append(self._frames.popleft())
            early = len(self._frames) > self._least and settled(self._frames[0])
            self._calm = self._calm + 1 if early else 0
        if self._calm > CALM:
            self._calm = 0
            due.append(self._frames.popleft())
        return due

    def _is_due(self, settled: Callable[[RawFrame], bool]) -> bool:
        if len(self._frames) > self._most:
            return True
        return len(self._frames) > self._least and settled(self._frames[0])

    def drain(self) -> list[RawFrame]:
        """Return every held frame, oldest first, with their leases."""
        held = list(self._frames)
        self._frames.clear()
        return held

    def close(self) -> None:
        """Release every held frame."""
        for frame in self.drain():
            frame.release()
