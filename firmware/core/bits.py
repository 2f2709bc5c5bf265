"""Reads the fields of a NAL unit bit by bit (ITU-T H.264, clauses 7.2, 7.3.1 and 9.1)."""

LONGEST_CODE = 32
"""Leading zeros of an Exp-Golomb code beyond which it is none that any header holds."""


class Bits:
    """The bits of one NAL unit, without its first byte; no more than `most` bytes of it are read.

    Every method raises ValueError at the end of what there is.
    """

    def __init__(self, unit: bytes, most: int) -> None:
        self._data = unit[1 : 1 + most].replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        end = self._at + count
        if end > 8 * len(self._data):
            raise ValueError("the unit ends inside a field")
        within = int.from_bytes(self._data[self._at // 8 : (end + 7) // 8], "big")
        self._at = end
        return (within >> (-end % 8)) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """Return an unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > LONGEST_CODE:
                raise ValueError("a code is longer than any")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """Return a signed Exp-Golomb code, se(v)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
