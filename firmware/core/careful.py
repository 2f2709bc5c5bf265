"""Decodes a live stream and gives out nothing that was made from what did not arrive whole.

libav by itself fills in what is missing and calls it a picture. Here a damaged packet costs all that may
depend on it: a new decoder waits for the next picture that stands for itself. In H.264 that includes
reference pictures that never came; H.265's decoder refuses what refers to them by itself. A hole inside the
data of an H.265 picture that was coded without wavefronts is not noticed.
"""

from collections.abc import Sequence

import av
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from firmware.core.damage import DamagedError
from firmware.core.h264_order import ReferenceOrder

HOW = {"err_detect": "explode"}
"""Has a decoder refuse what it would conceal."""


class CarefulDecoder:
    """Decodes a stream as one context would, which is not used itself."""

    def __init__(self, told: VideoCodecContext) -> None:
        self._told = told
        self._context = self._anew()
        self._order = ReferenceOrder() if told.name == "h264" else None
        self._waiting = True
        if self._order is not None and told.extradata:
            self._order.lost(bytes(told.extradata))

    def decode(self, packet: "av.Packet[VideoStream]") -> Sequence[av.VideoFrame]:
        """Return the pictures that a packet completes; raises DamagedError where it, or they, must go."""
        missing = self._order is not None and self._order.lost(bytes(packet))
        if packet.is_corrupt or (missing and not packet.is_keyframe):
            raise self._damaged("a part of the stream is missing")
        if self._waiting and not packet.is_keyframe:
            raise DamagedError("waiting for a picture that stands for itself")
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as exc:
            raise self._damaged(f"a picture that cannot be decoded: {exc.strerror}") from exc
        if any(frame.is_corrupt for frame in frames):
            raise self._damaged("a picture that is not whole")
        self._waiting = False
        return frames

    def _damaged(self, why: str) -> DamagedError:
        if self._context.is_open:
            # Emptied alone, libav's H.264 decoder makes its next picture wrong after one that it refused.
            self._context = self._anew()
        self._waiting = True
        return DamagedError(why)

    def _anew(self) -> VideoCodecContext:
        context = VideoCodecContext.create(self._told.codec, "r")
        if not isinstance(context, VideoCodecContext):
            raise DamagedError("a stream without pictures")
        # Frame threads would add a delay of one frame each. With slice threads the H.264 decoder does not
        # notice slices that are missing; the H.265 one notices wavefronts that are only with them.
        h264 = self._told.name == "h264"
        context.thread_count, context.thread_type = (1, "NONE") if h264 else (2, "SLICE")
        context.options = HOW
        if self._told.extradata:
            context.extradata = self._told.extradata
        return context
