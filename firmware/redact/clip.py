"""What a clip is, apart from its pictures."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Size in pixels (even), nominal frames per second, unit of time stamps in seconds, expected frames.

    `steady` is the slowest rate on which every picture has a place of its own; `expected` is 0 where the
    container does not say; `aspect` is how many times as wide as high a pixel is; `fields` is "tff" or "bff"
    where a picture is two fields, else empty; `colour` holds the codes of H.273 for range, primaries,
    transfer and matrix.
    """

    width: int
    height: int
    rate: Fraction
    steady: Fraction
    time_base: Fraction
    expected: int
    aspect: Fraction
    fields: str
    colour: tuple[int, int, int, int]
