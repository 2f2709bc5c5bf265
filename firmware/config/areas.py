"""Zones and lines as settings: names and points, in shares of the picture."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from firmware.config.strict import Strict
from firmware.core.places import Line, Zone, is_plain, shared

LEAST_AREA = 0.01
"""Share of the picture: what is smaller is a single person's place."""
LEAST_LENGTH = 0.05
MOST = 8

Name = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{0,23}$", description="Lower-case letters, digits, _; not a person's."),
]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Corner = tuple[Share, Share]


class ZoneOptions(Strict):
    """A zone: people in it are counted, and how long they stay."""

    name: Name
    corners: tuple[Corner, ...] = Field(min_length=3, max_length=12)

    @model_validator(mode="after")
    def _is_useful(self) -> "ZoneOptions":
        zone = self.place()
        if zone.area < LEAST_AREA:
            raise ValueError(f"zone {self.name} is too small; give it a hundredth of the picture at least")
        if not is_plain(zone):
            raise ValueError(f"sides of zone {self.name} cross; name its corners in their order")
        return self

    def place(self) -> Zone:
        """Return it as what counts knows it."""
        return Zone(self.name, self.corners)


class LineOptions(Strict):
    """A line: who crosses it is counted, to its left and to its right as seen from its beginning."""

    name: Name
    begin: Corner
    end: Corner

    @model_validator(mode="after")
    def _is_useful(self) -> "LineOptions":
        (x0, y0), (x1, y1) = self.begin, self.end
        if (x1 - x0) ** 2 + (y1 - y0) ** 2 < LEAST_LENGTH**2:
            raise ValueError(f"line {self.name} is too short; move its ends {LEAST_LENGTH} apart at least")
        return self

    def place(self) -> Line:
        """Return it as what counts knows it."""
        return Line(self.name, self.begin, self.end)


def _require_distinct(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice; give each a name of its own")


def _zones(zones: tuple[ZoneOptions, ...]) -> tuple[ZoneOptions, ...]:
    _require_distinct([zone.name for zone in zones])
    if (both := shared([zone.place() for zone in zones])) is not None:
        # A count that is withheld would be the difference of two that are told.
        raise ValueError(f"zones {both[0].name} and {both[1].name} overlap; move their corners apart")
    return zones


def _lines(lines: tuple[LineOptions, ...]) -> tuple[LineOptions, ...]:
    _require_distinct([line.name for line in lines])
    return lines


ManyZones = Annotated[tuple[ZoneOptions, ...], Field(max_length=MOST), AfterValidator(_zones)]
ManyLines = Annotated[tuple[LineOptions, ...], Field(max_length=MOST), AfterValidator(_lines)]
