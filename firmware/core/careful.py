"""Decodes a stream and gives out nothing that was made from what did not arrive whole.

libav by itself fills in what is missing and calls it a picture. Here a damaged packet costs all that may
depend on it: a new decoder waits for the next picture that stands for itself. In H.264 that includes
reference pictures that never came; H.265's decoder refuses what refers to them by itself.

Not noticed, because nothing in the stream tells of it:

- bytes that are not those that were written and can be decoded nevertheless. H.264 and H.265 can hold no run
  of zeros; MPEG-1, MPEG-2 and MPEG-4 notice most damage, AV1 some; VP8, VP9, FFV1 and MS-MPEG-4 hardly
  any, nor Motion JPEG what lies within one picture.
- a hole inside the data of an H.265 picture that was coded without wavefronts or a digest.
- whole packets that are missing between those of MPEG-1, MPEG-2, MPEG-4, H.263, VP8, VP9 and AV1, where the
  container does not number them; of H.264 and H.265, those that no other picture refers to.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from firmware.core.damage import DamagedError, WaitingError
from firmware.core.framing import LENGTH_AT, Framing
from firmware.core.h264_order import ReferenceOrder
from firmware.core.nal import IDR

STRICT = {"err_detect": "explode+crccheck"}
"""Has a decoder refuse what it would conceal."""

THREADS = {"h264": (1, "NONE"), "hevc": (2, "SLICE")}
"""With threads of any kind the H.264 decoder does not notice slices that are missing in time; the H.265 one
notices wavefronts that are only with threads for slices."""


MOST_HELD = 16
"""Pictures that are kept where their times do not tell how many must be; no encoder has more in between."""


class Held:
    """Keeps pictures until none that they may refer to can turn out to be made up.

    What libav's H.264 decoder made up it says of a picture when that comes out. Those that are shown before
    it may refer to it nevertheless, and come out before.
    """

    def __init__(self) -> None:
        self._furthest: int | None = None
        self._needs: dict[int, int] = {}
        self._held: deque[tuple[int | None, av.VideoFrame]] = deque()

    def expect(self, pts: int | None, *, anew: bool) -> None:
        """Take note of a picture before it is decoded; `anew` where none after it refers to one before."""
        if pts is None:
            return
        self._furthest = pts if anew or self._furthest is None else max(pts, self._furthest)
        self._needs[pts] = self._furthest
        if len(self._needs) > 4 * MOST_HELD:
            del self._needs[next(iter(self._needs))]

    def released(self, frames: Sequence[av.VideoFrame], *, all_of_them: bool) -> list[av.VideoFrame]:
        """Take pictures as they come out; return those that need not be kept.

        That is all of them at the end, and where they come out in the order in which they were decoded.
        """
        for frame in frames:
            pts = frame.pts
            self._held.append((None if pts is None else self._needs.get(pts), frame))
            if pts is not None:
                self._needs = {other: until for other, until in self._needs.items() if other > pts}
        now = next((frame.pts for _, frame in reversed(self._held) if frame.pts is not None), None)
        free = []
        while self._held and (all_of_them or len(self._held) > MOST_HELD or _is_past(self._held[0][0], now)):
            free.append(self._held.popleft()[1])
        return free


def _is_past(until: int | None, now: int | None) -> bool:
    return until is not None and now is not None and until <= now


class CarefulDecoder:
    """Decodes one stream; every one of `contexts` is a decoder of it that has not begun.

    A live stream gets no threads that add a delay, and begins at a picture that stands for itself. Files of
    old kinds do not say which those are; of H.264 and H.265 they do.
    """

    def __init__(self, contexts: Iterator[VideoCodecContext], threads: int = 2, *, live: bool = True) -> None:
        self._contexts = contexts
        self._next = self._context = next(contexts)
        self._threads = THREADS.get(self._next.name, (threads, "SLICE" if live else "AUTO"))
        known, extradata = self._next.name in LENGTH_AT, bytes(self._next.extradata or b"")
        self._framing = Framing(self._next.name, extradata) if known else None
        self._order = ReferenceOrder() if self._next.name == "h264" else None
        if self._order is not None and self._framing is not None:
            self._order.lost(self._framing.parameters)
        self._held = Held()
        self._from: int | None = None
        self._is_tolerant = False
        self._waiting = True
        if not live and not known:
            self._begin(tolerant=False)

    def decode(self, packet: "av.Packet[VideoStream]") -> list[av.VideoFrame]:
        """Return the pictures that a packet completes; raises DamagedError where it, or they, must go."""
        data, before = bytes(packet), []
        missing = self._is_missing(data)
        if packet.is_corrupt or self._is_spoiled(data) or (missing and not packet.is_keyframe):
            raise self._damaged("a part of the stream is missing")
        fresh = packet.is_keyframe and self._stands_alone(data)
        if missing or (fresh and self._is_tolerant):
            before, self._waiting = self.rest(), True
        if self._waiting and not packet.is_keyframe:
            raise WaitingError("waiting for a picture that stands for itself")
        if self._waiting:
            self._begin(tolerant=not fresh)
            self._from = None if fresh else packet.pts
        elif self._leads(packet):
            raise WaitingError("a picture that refers to some before the first")
        self._held.expect(packet.pts, anew=fresh)
        return before + self._whole(self._decoded(packet))

    def rest(self) -> list[av.VideoFrame]:
        """Return what is kept, at the end of all; raises DamagedError where it must go."""
        return [] if self._waiting else self._whole(self._decoded(None), last=True)

    def _is_missing(self, data: bytes) -> bool:
        if self._order is None or self._framing is None:
            return False
        return self._order.lost(self._framing.units(data))

    def _is_spoiled(self, data: bytes) -> bool:
        return self._framing is not None and self._framing.is_damaged(data)

    def _stands_alone(self, data: bytes) -> bool:
        """Tell whether nothing after a key picture refers to what was before it."""
        if self._order is None or self._framing is None:
            return True
        return any(unit[0] & 0x1F == IDR for unit in self._framing.units(data))

    def _leads(self, packet: "av.Packet[VideoStream]") -> bool:
        """Tell whether a picture is shown before the one that decoding began at, which is no IDR."""
        if packet.is_keyframe:
            self._from = None
        return self._from is not None and packet.pts is not None and packet.pts < self._from

    def _decoded(self, packet: "av.Packet[VideoStream] | None") -> list[av.VideoFrame]:
        try:
            return self._context.decode(packet)
        except av.FFmpegError as exc:
            raise self._damaged(f"a picture that cannot be decoded: {exc.strerror}") from exc

    def _whole(self, frames: list[av.VideoFrame], *, last: bool = False) -> list[av.VideoFrame]:
        """Return the pictures that are known to be whole."""
        if any(frame.is_corrupt for frame in frames):
            raise self._damaged("a picture that is not whole")
        in_order = self._order is None or self._context.reorder_depth == 0
        return self._held.released(frames, all_of_them=last or in_order)

    def _damaged(self, why: str) -> DamagedError:
        self._waiting = True
        return DamagedError(why)

    def _begin(self, *, tolerant: bool) -> None:
        """Have another decoder go on.

        Emptied alone, libav's H.264 decoder makes its next picture wrong after one that it refused. Where
        decoding begins at a picture that is no IDR, a strict one refuses all that follow it, because they
        end the use of pictures that it never had.
        """
        self._context = next(self._contexts) if self._context.is_open else self._next
        self._context.thread_count, self._context.thread_type = self._threads
        self._context.options = {} if tolerant else dict(STRICT)
        self._held = Held()
        self._waiting, self._is_tolerant = False, tolerant


def copies(told: VideoCodecContext) -> Iterator[VideoCodecContext]:
    """Yield decoders like one of a live stream, which is not used itself."""
    while True:
        context: Any = VideoCodecContext.create(told.codec, "r")
        if not isinstance(context, VideoCodecContext):
            raise DamagedError("a stream without pictures")
        if told.extradata:
            context.extradata = told.extradata
        yield context
