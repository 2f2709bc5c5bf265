"""A one-slot mailbox for frames: the newest wins, what it displaces is counted and released."""

import asyncio

from firmware.core.raw import RawFrame


class Mailbox:
    """Hands the newest frame to one reader; used on the event loop only."""

    def __init__(self) -> None:
        self.dropped = 0
        self._frame: RawFrame | None = None
        self._filled = asyncio.Event()

    def put(self, frame: RawFrame) -> None:
        """Leave a frame; the mailbox now owns its lease."""
        if self._frame is not None:
            self.dropped += 1
            self._frame.release()
        self._frame = frame
        self._filled.set()

    async def take(self) -> RawFrame:
        """Wait for a frame; the caller owns its lease."""
        await self._filled.wait()
        self._filled.clear()
        frame, self._frame = self._frame, None
        if frame is None:
            raise RuntimeError("a mailbox has one reader")
        return frame

    def close(self) -> None:
        """Release what is still inside."""
        if self._frame is not None:
            self._frame.release()
        self._frame = None
        self._filled.clear()
