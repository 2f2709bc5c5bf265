"""NAL units of an H.264 access unit in Annex B (ITU-T H.264, clause 7.4.1 and Annex B)."""

from collections.abc import Iterator

START = b"\0\0\1"

SLICE, IDR, SPS, PPS = 1, 5, 7, 8
PICTURE = frozenset({SLICE, IDR, SPS, PPS})
"""What a player needs for a picture, and nothing that tells more: encoders sign with their version and
settings in supplemental information (SEI, type 6), and add whatever else their makers thought of."""


def units(access_unit: bytes) -> Iterator[bytes]:
    """Yield the NAL units between start codes, without these; what comes before the first one is none."""
    begin = access_unit.find(START)
    while begin >= 0:
        begin += len(START)
        end = access_unit.find(START, begin)
        unit = access_unit[begin:] if end < 0 else access_unit[begin:end]
        # A start code may have one zero more, and zeros may follow a unit.
        if unit := unit.rstrip(b"\0"):
            yield unit
        begin = end


def parameter_sets(access_unit: bytes) -> bytes:
    """Return the sequence and picture parameter sets of an access unit; empty where it lacks either kind."""
    kept = [unit for unit in units(access_unit) if unit[0] & 0x1F in (SPS, PPS)]
    if {unit[0] & 0x1F for unit in kept} != {SPS, PPS}:
        return b""
    return b"".join(b"\0" + START + unit for unit in kept)


def picture_alone(access_unit: bytes) -> bytes:
    """Return an access unit with nothing in it but the picture and its parameter sets."""
    kept = [unit for unit in units(access_unit) if unit[0] & 0x1F in PICTURE]
    return b"".join(b"\0" + START + unit for unit in kept)
