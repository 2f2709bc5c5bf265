"""A version on trial keeps itself where it works, is reached and hides as much; else it gives itself up."""

import asyncio
import io
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.access.owner import Ownership
from firmware.audit import Audit
from firmware.core.frames import Verdict
from firmware.core.policy import PEOPLE
from firmware.errors import DetectorFailed, UpdateError
from firmware.ports import SystemClock
from firmware.status import CameraStatus
from firmware.update import trial as trials
from firmware.update.device import Board as Boots
from firmware.update.device import trust
from firmware.update.service import UpdateService
from firmware.update.trial import Trial
from ota.release import Privacy
from tests.update.test_agent import Board, board

__all__ = ["board"]

QUIET = CameraStatus(
    verdict=Verdict.VERIFIED,
    released_fps=30.0,
    latency_p50_ms=None,
    latency_p95_ms=None,
    chain="upstream",
    detectors=(),
    width=1280,
    height=720,
    smallest_face=None,
    smallest_body=None,
    uptime_s=0.0,
    failed=False,
    reason="",
    detector_restarts=0,
    released={},
    dropped={},
)


class Camera:
    """A camera that releases frames of one verdict each time it is looked at."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        self.released = Counter[Verdict]()

    def __call__(self) -> CameraStatus:
        if self.verdict is not None:
            self.released[self.verdict] += 3
        return replace(QUIET, released=dict(self.released), reason="a detector is late")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "HELD_S", 0.2)
    monkeypatch.setattr(trials, "WITHIN_S", 1.0)
    monkeypatch.setattr(trials, "LOOK_S", 0.02)


def service(board: Board) -> UpdateService:
    identity, clock = open_identity(board.state), SystemClock()
    return UpdateService(
        board.state, identity, Ownership(board.state, clock), Boots("laptop", "directory"), clock
    )


def on_trial(board: Board) -> UpdateService:
    """Have version 2 on trial; version 1 has hidden 99 %."""
    board.privacy = Privacy(PEOPLE.digest, 9_900)
    for counter in (1, 2):
        board.agent().install(io.BytesIO(board.bundle(counter, privacy=board.privacy)))
        board.slots.boot()
        if counter == 1:
            board.agent().begun()
            board.confirm()
    return service(board)


def said(value: object) -> Callable[[], Awaitable[object]]:
    async def say() -> object:
        if isinstance(value, Exception):
            raise value
        return value

    return say


async def tried(
    board: Board, camera: Camera, *, reached: bool = True, shows: float | Exception = 0.99
) -> UpdateService:
    """Run the trial to its end."""
    updates = await asyncio.to_thread(on_trial, board)
    audit = await asyncio.to_thread(Audit, board.state, updates.identity.keys, SystemClock())
    await Trial(updates, audit).run(camera, said(reached), said(shows))  # type: ignore[arg-type]
    return updates


@pytest.mark.parametrize("verdict", [Verdict.VERIFIED, Verdict.PREDICTED])
async def test_what_works_is_confirmed_and_has_shown_what_it_hides(board: Board, verdict: Verdict) -> None:
    updates = await tried(board, Camera(verdict), shows=0.995)
    told = await asyncio.to_thread(updates.status)
    assert (told["phase"], told["counter"], told["recall"]) == ("idle", 2, 0.995)
    assert await asyncio.to_thread(board.start) == "version 2"


@pytest.mark.parametrize(
    ("camera", "reached", "shows", "why"),
    [
        (Camera(None), True, 0.99, "a detector is late"),
        (Camera(Verdict.BLIND), True, 0.99, "a detector is late"),
        (Camera(Verdict.VERIFIED), False, 0.99, "rolled back"),
        (Camera(Verdict.VERIFIED), True, 0.98, "finds fewer people"),
        (Camera(Verdict.VERIFIED), True, DetectorFailed("no answer"), "its self-test failed: no answer"),
    ],
    ids=["no frames", "all hidden", "not reached", "hides less", "self-test fails"],
)
async def test_what_does_not_is_given_up_with_its_reason(
    board: Board, camera: Camera, reached: bool, shows: float | Exception, why: str
) -> None:
    """G04, G05."""
    with pytest.raises(UpdateError, match=why):
        await tried(board, camera, reached=reached, shows=shows)
    told = await asyncio.to_thread(lambda: service(board).status())
    assert (told["phase"], told["counter"]) == ("idle", 1)
    assert await asyncio.to_thread(board.start) == "version 1"


async def test_where_nothing_is_tried_what_came_with_the_camera_is_measured_once(
    board: Board, tmp_path: Path
) -> None:
    await asyncio.to_thread(trust, board.state, board.shop.anchor)
    updates = await asyncio.to_thread(service, board)
    audit = await asyncio.to_thread(Audit, board.state, updates.identity.keys, SystemClock())
    for shows in (0.97, RuntimeError("measured twice")):
        await Trial(updates, audit).run(Camera(None), said(True), said(shows))  # type: ignore[arg-type]
    assert (await asyncio.to_thread(updates.status))["recall"] == 0.97
