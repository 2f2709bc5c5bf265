"""Keeps the last few frames before release, so that who is first seen now is hidden in them too."""

from collections import deque

from firmware.core.raw import RawFrame


class Hold:
    """A short queue of leased frames, oldest first."""

    def __init__(self, frames: int) -> None:
        self._size = frames
        self._frames: deque[RawFrame] = deque()

    def push(self, frame: RawFrame) -> RawFrame | None:
        """Keep a frame; returns the oldest, with its lease, once more than the stated number is held."""
        self._frames.append(frame)
        return self._frames.popleft() if len(self._frames) > self._size else None

    def age_ns(self, now_ns: int) -> int:
        """Return how long ago the oldest held frame was captured; 0 if none is held."""
        return now_ns - self._frames[0].captured_ns if self._frames else 0

    def close(self) -> None:
        """Release every held frame."""
        while self._frames:
            self._frames.popleft().release()
