"""Encodes frames once per rendition, however many people watch; the label of a packet is set here.

Of what an encoder gives only the picture passes: some sign it, or add what nobody asked for.
"""

from typing import Protocol

from firmware.core.frames import Packet, Redacted, RedactedFrame
from firmware.core.nal import picture_alone
from firmware.ports import Encoder


class Rendition(Protocol):
    """Makes something of every redacted frame; `encode` runs in the release thread."""

    name: str

    def encode(self, frame: RedactedFrame) -> Packet[Redacted] | None:
        """Take one frame, and return its packet where there is one."""
        ...


class RedactedRendition:
    """One encoder for redacted frames; `encode` runs in the release thread. `name` is for whoever is told."""

    def __init__(self, encoder: Encoder, name: str = "redacted") -> None:
        self.name = name
        self._encoder = encoder
        # Counted, not flagged: a wish that comes while a keyframe is being encoded must not be lost.
        self._keyframes_wanted = 1
        self._keyframes_seen_to = 0

    def want_keyframe(self) -> None:
        """Make the next picture a keyframe: a viewer joined or lost packets."""
        self._keyframes_wanted += 1

    def encode(self, frame: RedactedFrame) -> Packet[Redacted] | None:
        """Encode one frame; None while the encoder has nothing to give."""
        wanted = self._keyframes_wanted
        keyframe = wanted != self._keyframes_seen_to
        self._keyframes_seen_to = wanted
        picture = self._encoder.encode(frame.planes, frame.captured_ns, keyframe=keyframe)
        if picture is None:
            return None
        return Packet(picture_alone(picture.data), picture.keyframe, frame.captured_ns, frame.seq, Redacted)
