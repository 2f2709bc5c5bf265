"""An update is taken up by itself, but not while somebody may see the raw picture, nor outside its hours."""

import asyncio
import time
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.access.owner import Ownership
from firmware.config.hours import require_hours, within
from firmware.ports import SystemClock
from firmware.update import turn as turns
from firmware.update.device import Board
from firmware.update.service import UpdateService
from firmware.update.turn import BUSY, LATER, Turn


class Hands(SystemClock):
    """A clock that stands at a local time of today."""

    def __init__(self, hour: int, minute: int) -> None:
        self.today = time.mktime((2026, 11, 26, hour, minute, 0, 0, 0, -1))

    def wall_ns(self) -> int:
        return round(self.today * 1e9)


@pytest.fixture
def updates(tmp_path: Path) -> UpdateService:
    clock = SystemClock()
    return UpdateService(
        tmp_path, open_identity(tmp_path), Ownership(tmp_path, clock), Board("laptop", "directory"), clock
    )


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("", (0, 719, 1439), ()),
        ("02:00-04:30", (120, 269), (119, 270, 1000)),
        ("22:00-04:00", (1320, 1439, 0, 239), (240, 1319)),
    ],
)
def test_hours_are_read_as_they_are_written(
    hours: str, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    assert require_hours(hours) == hours
    assert [within(hours, minute) for minute in (*inside, *outside)] == [True] * len(inside) + [False] * len(
        outside
    )


@pytest.mark.parametrize("hours", ["2-4", "24:00-01:00", "02:00-04:60", "always", "02:00-04:00 "])
def test_hours_that_nobody_can_read_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="HH:MM-HH:MM"):
        require_hours(hours)


def test_it_waits_for_raw_views_and_for_its_hours(updates: UpdateService) -> None:
    watched = True
    hands = Hands(1, 59)
    turn = Turn(updates, lambda: watched, lambda: "02:00-03:00", hands)
    assert turn.waits() == BUSY
    watched = False
    assert turn.waits() == LATER
    hands.today += 60
    assert turn.waits() == ""


async def test_it_ends_once_an_update_is_armed_and_nobody_is_disturbed(
    updates: UpdateService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LOOK_S", 0.01)
    watched = True
    waiting = asyncio.ensure_future(Turn(updates, lambda: watched, lambda: "", SystemClock()).wait())
    await asyncio.sleep(0.1)
    updates.armed = True
    await asyncio.sleep(0.1)
    assert not waiting.done()
    watched = False
    await asyncio.wait_for(waiting, 2)
