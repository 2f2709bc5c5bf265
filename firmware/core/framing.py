"""Units of H.264 and H.265 as containers hold them: between start codes, or each behind its own length.

ISO/IEC 14496-15, clauses 5.3.3 and 8.3.3; what no unit contains: ITU-T H.264 and H.265, clause 7.4.
"""

import re
from collections.abc import Iterator

from firmware.core.nal import units

LENGTH_AT = {"h264": 4, "hevc": 21}
"""Where in a container's description of a stream it says of how many bytes the lengths are."""

IMPOSSIBLE = re.compile(rb"\0\0[\0-\2]")
"""Is escaped wherever it would come up in a unit; most sectors that are missing from a file read as zeros."""

MOST_PADDING = 3


class Framing:
    """Takes the access units of one stream apart."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        at = LENGTH_AT[codec]
        described = extradata[:1] == b"\1" and len(extradata) > at
        self._width = (extradata[at] & 3) + 1 if described else 0
        self._is_h264 = codec == "h264"
        self.parameters = list(_stored(extradata) if described else units(extradata)) if self._is_h264 else []
        """The units that the container keeps beside the stream; of H.264 alone."""

    def units(self, access_unit: bytes) -> Iterator[bytes]:
        """Yield the units of an access unit; raises ValueError where their lengths do not add up."""
        return _counted(access_unit, self._width) if self._width else units(access_unit)

    def is_damaged(self, access_unit: bytes) -> bool:
        """Tell whether there is something in a picture's data that no encoder writes."""
        try:
            return any(self._is_spoiled(unit) for unit in self.units(access_unit))
        except ValueError:
            return True

    def _is_spoiled(self, unit: bytes) -> bool:
        kind = unit[0] & 0x1F if self._is_h264 else (unit[0] >> 1) & 0x3F
        if not (1 <= kind <= 5 if self._is_h264 else kind < 32):
            return False
        data = unit.rstrip(b"\0")
        return len(unit) - len(data) > MOST_PADDING or IMPOSSIBLE.search(data) is not None


def _counted(access_unit: bytes, width: int) -> Iterator[bytes]:
    at = 0
    while at < len(access_unit):
        begin = at + width
        at = begin + int.from_bytes(access_unit[at:begin], "big")
        if at > len(access_unit):
            raise ValueError("a unit is longer than what there is")
        if at > begin:
            yield access_unit[begin:at]


def _stored(description: bytes) -> Iterator[bytes]:
    """Yield the parameter sets of H.264 from a container's description; what is cut off is none."""
    at = 5
    for mask in (0x1F, 0xFF):
        count, at = int.from_bytes(description[at : at + 1], "big") & mask, at + 1
        for _ in range(count):
            begin = at + 2
            at = begin + int.from_bytes(description[at:begin], "big")
            if unit := description[begin:at]:
                yield unit
