"""Encodes frames once per rendition, however many people watch; the label of a packet is set here."""

from firmware.core.frames import Packet, Redacted, RedactedFrame
from firmware.ports import Encoder


class RedactedRendition:
    """One encoder for redacted frames; `encode` runs in the release thread."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._keyframe_wanted = True

    def want_keyframe(self) -> None:
        """Make the next picture a keyframe: a viewer joined or lost packets."""
        self._keyframe_wanted = True

    def encode(self, frame: RedactedFrame) -> Packet[Redacted] | None:
        """Encode one frame; None while the encoder has nothing to give."""
        keyframe, self._keyframe_wanted = self._keyframe_wanted, False
        picture = self._encoder.encode(frame.i420, frame.captured_ns, keyframe=keyframe)
        if picture is None:
            return None
        return Packet(picture.data, picture.keyframe, frame.captured_ns, frame.seq, frame.verdict, Redacted)
