"""One way through a clip: its pictures in order, past what is not whole, and what of it is missing.

Nothing is given out that the decoder made up, as far as `core.careful` says that it is noticed.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from firmware.core.careful import CarefulDecoder
from firmware.core.damage import DamagedError, WaitingError

PROMISING = ("matroska", "mov", "avi", "flv")
"""Containers that say how long they are; the others' length is a guess."""
MICROSECOND = Fraction(1, 1_000_000)


class Reading:
    """Iterated once; `lost` and `breaks_off` then hold what came against what the container promises."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        contexts: Iterator[VideoCodecContext],
        threads: int,
    ) -> None:
        self._container, self._stream = container, stream
        self._decoder = CarefulDecoder(contexts, threads, live=False)
        self._count = self._damaged = 0
        self._end_ns = 0
        self._why = ""
        self._is_cut = False

    def __iter__(self) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._end_ns = max(self._end_ns, round(end * 10**9))
                # Not its `stream_index`, which the packet that ends a stream does not carry.
                if packet.stream.index == self._stream.index:
                    yield from self._decoded(cast("Packet[VideoStream]", packet))
        except (av.FFmpegError, OSError) as exc:
            self._is_cut, self._why = True, str(exc.strerror)

    def _decoded(self, packet: "Packet[VideoStream]") -> Iterator[av.VideoFrame]:
        try:
            frames = self._decoder.decode(packet) if packet.size else self._decoder.rest()
        except WaitingError:
            return
        except (DamagedError, OSError) as exc:
            self._damaged, self._why = self._damaged + 1, str(exc)
            return
        for frame in frames:
            self._count += 1
            yield frame

    def lost(self, step_ns: int) -> str:
        """Say what of the clip did not come, at so many nanoseconds a picture; empty for nothing."""
        cut = self.breaks_off(step_ns)
        if cut or not self._damaged:
            return cut
        return f"{self._damaged} places could not be decoded ({self._why}); {self._had()} could"

    def breaks_off(self, step_ns: int) -> str:
        """Say where the clip ended before its end; empty where it did not."""
        begin, promised = begin_ns(self._container), self._container.duration
        if begin is not None and promised and self._container.format.name.startswith(PROMISING):
            length = round(promised * MICROSECOND * 10**9)
            there = self._end_ns if self._is_absolute(begin, length) else self._end_ns - begin
            if length - there > 2 * step_ns:
                return f"breaks off after {self._had()}, at {there / 1e9:.2f} s of {length / 1e9:.2f} s"
        return f"breaks off after {self._had()} ({self._why})" if self._is_cut else ""

    def _had(self) -> str:
        if self._stream.frames > self._count:
            return f"{self._count} of {self._stream.frames} frames"
        return f"{self._count} frames"

    def _is_absolute(self, begin_ns: int, length_ns: int) -> bool:
        """Say whether the promised length counts from zero: Matroska has the last time there, mostly."""
        return self._container.format.name.startswith("matroska") and length_ns > begin_ns


def begin_ns(container: InputContainer) -> int | None:
    """Return where a clip begins on its own clock, which may be any time of a recorder's day."""
    begun = cast("int | None", container.start_time)  # PyAV's types leave out that it may be unknown
    return None if begun is None else round(begun * MICROSECOND * 10**9)
