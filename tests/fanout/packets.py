"""Packets and fan-outs for tests that look at neither pictures nor networks."""

from firmware.core.frames import Packet, Raw, Redacted
from firmware.fanout import Fanout


def silent_fanout() -> Fanout[Redacted]:
    """A fan-out whose wish for keyframes nobody hears."""
    return Fanout(Redacted, lambda: None)


def packet(seq: int, *, keyframe: bool = False) -> Packet[Redacted]:
    """A packet for tests that look at the fan-out alone."""
    nal = b"\0\0\0\1\x65" if keyframe else b"\0\0\0\1\x41"
    return Packet(nal + bytes([seq % 251 + 1]) * 40, keyframe, seq * 33_333_333, seq, Redacted)


def raw_packet(seq: int) -> Packet[Raw]:
    return Packet(b"\0\0\0\1\x65", True, seq, seq, Raw)
