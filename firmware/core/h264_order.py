"""Tells whether an H.264 stream lost a reference picture (ITU-T H.264, clauses 7.3 and 7.4.3, frame_num).

Decoders fill such a gap with what they have and say nothing: what is decoded from then on shows people
where they were, or smeared, until the next picture that stands for itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from firmware.core.bits import Bits
from firmware.core.nal import IDR, PPS, SLICE, SPS

WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
"""Profiles whose sequence parameters tell of chroma and scaling."""

HEADER = 64
"""Bytes of a slice that are read: its first four fields end far before."""

PARAMETERS = 1024
MOST_CYCLE = 255


@dataclass(frozen=True, slots=True)
class Sequence:
    """What of a sequence's parameters says how its pictures are numbered."""

    bits: int
    separate: bool
    gaps: bool
    frames_alone: bool


@dataclass(frozen=True, slots=True)
class _Slice:
    number: int
    field: bool
    sequence: Sequence


class ReferenceOrder:
    """Follows the numbers of a stream's pictures, access unit by access unit."""

    def __init__(self) -> None:
        self._sequences: dict[int, Sequence] = {}
        self._pictures: dict[int, int] = {}
        self._last: int | None = None
        self._last_was_field = False

    def lost(self, access_unit: Iterable[bytes]) -> bool:
        """Take in an access unit's units; tell whether a picture that it may depend on is missing.

        One that cannot be read counts as such a gap. After one the numbers begin anew with this unit.
        """
        try:
            return self._follow(access_unit)
        except (ValueError, KeyError):
            self._last = None
            return True

    def _follow(self, access_unit: Iterable[bytes]) -> bool:
        for unit in access_unit:
            kind = unit[0] & 0x1F
            if kind == SPS:
                number, sequence = _sequence(Bits(unit, PARAMETERS))
                self._sequences[number] = sequence
            elif kind == PPS:
                bits = Bits(unit, PARAMETERS)
                self._pictures[bits.unsigned()] = bits.unsigned()
            elif kind in (SLICE, IDR):
                return self._numbered(unit, kind)
        return False

    def _numbered(self, unit: bytes, kind: int) -> bool:
        """Take in the first slice of a picture."""
        told = self._slice(Bits(unit, HEADER))
        reference = bool(unit[0] & 0x60)
        last, fields = self._last, self._last_was_field or told.field
        if reference:
            self._last, self._last_was_field = told.number, told.field
        if kind == IDR or told.sequence.gaps or last is None:
            return False
        if told.number == (last + 1) % (1 << told.sequence.bits):
            return False
        # Two fields of a frame share its number; of two whole frames that do, one is of another group.
        return told.number != last or (reference and not fields)

    def _slice(self, bits: Bits) -> _Slice:
        bits.unsigned()  # first macroblock
        bits.unsigned()  # type
        sequence = self._sequences[self._pictures[bits.unsigned()]]
        if sequence.separate:
            bits.take(2)
        number = bits.take(sequence.bits)
        return _Slice(number, not sequence.frames_alone and bool(bits.take(1)), sequence)


def _sequence(bits: Bits) -> tuple[int, Sequence]:
    profile = bits.take(8)
    bits.take(16)
    number, separate = bits.unsigned(), False
    if profile in WITH_CHROMA:
        separate = _chroma(bits)
    width = bits.unsigned() + 4
    _skip_order_count(bits)
    bits.unsigned()  # reference frames
    gaps = bool(bits.take(1))
    bits.unsigned()  # width
    bits.unsigned()  # height
    if width > 16:
        raise ValueError("a frame number has 16 bits at most")
    return number, Sequence(width, separate, gaps, bool(bits.take(1)))


def _chroma(bits: Bits) -> bool:
    """Read over chroma and scaling; tell whether the colours are coded apart."""
    chroma = bits.unsigned()
    separate = chroma == 3 and bool(bits.take(1))
    bits.unsigned()  # depth of luma
    bits.unsigned()  # depth of chroma
    bits.take(1)
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling(bits, 16 if index < 6 else 64)
    return separate


def _skip_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_order_count(bits: Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        cycle = bits.unsigned()
        if cycle > MOST_CYCLE:
            raise ValueError("an order cycle has 255 pictures at most")
        for _ in range(cycle):
            bits.signed()
