"""What a clip is, apart from its pictures."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Size in pixels (even), nominal frames per second, unit of time stamps in seconds, expected frames.

    `expected` is 0 where the container does not say; `colour` holds the codes of H.273 for range,
    primaries, transfer and matrix.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    expected: int
    colour: tuple[int, int, int, int]
