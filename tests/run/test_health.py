"""Heartbeats: ready and alive are told only while both capture and looking make progress."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.health import Notifier, Pulse, beat


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(listener.recv(200).decode())
        except BlockingIOError:
            return said


async def test_ready_then_alive_while_both_counters_rise(systemd: socket.socket) -> None:
    progress = Pulse(0, 0)
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000"})
    beating = asyncio.ensure_future(beat(lambda: progress, notifier))
    await asyncio.sleep(0.05)
    assert heard(systemd) == [], "not ready before the first released frame and the first look"
    progress = Pulse(5, 0)
    await asyncio.sleep(0.05)
    assert heard(systemd) == [], "frames without looks are no life"
    progress = Pulse(6, 1)
    await asyncio.sleep(0.05)
    assert heard(systemd) == ["READY=1\nWATCHDOG=1"]
    progress = Pulse(7, 2)
    await asyncio.sleep(0.05)
    assert heard(systemd) == ["WATCHDOG=1"]
    progress = Pulse(90, 2)
    await asyncio.sleep(0.05)
    assert heard(systemd) == [], "a detector that stalls starves the watchdog"
    beating.cancel()


def test_half_the_watchdog_time_between_beats() -> None:
    assert Notifier({"WATCHDOG_USEC": "3000000"}).interval_s == 1.5
    assert Notifier({"WATCHDOG_USEC": "nonsense"}).interval_s == 1.0


def test_silent_without_systemd_and_when_it_is_gone(tmp_path: Path) -> None:
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")
    assert not (tmp_path / "nobody").exists()
