"""A version on trial keeps itself or gives itself up: it has to show that it works, and that it is reached.

Healthy is: frames are released and not all of them hidden whole, every detector found the known face when it
was opened (else nothing but hidden pictures would be released), and the camera answers at its own address.
That has to hold for a while, within a time; what does not is rolled back, and the process ends, so that
whoever starts it takes the version before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from firmware.access.identity import Identity
from firmware.core.frames import Verdict
from firmware.errors import UpdateError, VeilcamError
from firmware.ports import Clock
from firmware.status import CameraStatus, StatusSource
from firmware.update.device import update_agent
from firmware.update.record import Phase, Record

logger = logging.getLogger(__name__)

HELD_S = 5.0
WITHIN_S = 120.0
LOOK_S = 0.5
LEAST_SHOWN = 0.5
"""Share of the frames that has to be shown, not hidden whole."""


class Trial:
    """One start's part in an update."""

    def __init__(self, state: Path, identity: Identity, boards: tuple[str, ...], clock: Clock) -> None:
        self._told = (state, identity, boards, clock)

    def begun(self) -> Record:
        """Take note of what this start runs; waits for the disk."""
        with update_agent(*self._told) as agent:
            return agent.begun()

    async def run(self, status: StatusSource, reached: Callable[[], Awaitable[bool]]) -> None:
        """Confirm what is on trial once it is healthy; does nothing where nothing is.

        Raises:
            UpdateError: it did not get healthy in time, and was rolled back.
        """
        try:
            record = await asyncio.to_thread(self.begun)
        except VeilcamError as exc:
            # A camera that cannot be updated still hides people.
            logger.error("updates are not possible: %s", exc)  # noqa: TRY400 - no traceback is wanted
            return
        if record.phase is not Phase.TRIAL:
            return
        logger.warning("version %s is on trial", record.version)
        begun, healthy_since, before = _now(), None, status()
        while _now() - begun < WITHIN_S:
            await asyncio.sleep(LOOK_S)
            if not _is_healthy(before, status()) or not await reached():
                healthy_since = None
                before = status()
            elif healthy_since is None:
                healthy_since = _now()
            elif _now() - healthy_since > HELD_S:
                await asyncio.to_thread(self._confirm)
                logger.warning("version %s is confirmed", record.version)
                return
        why = status().reason or "no frames"
        await asyncio.to_thread(self._rollback, why)
        raise UpdateError(
            f"version {record.version} was rolled back: {why}; the next start takes the one before"
        )

    def _confirm(self) -> None:
        with update_agent(*self._told) as agent:
            agent.confirm()

    def _rollback(self, why: str) -> None:
        with update_agent(*self._told) as agent:
            agent.rollback(why)


def _is_healthy(before: CameraStatus, now: CameraStatus) -> bool:
    """Say whether frames flow since then, and enough of them are shown."""
    frames = {one: now.released.get(one, 0) - before.released.get(one, 0) for one in Verdict}
    total = sum(frames.values())
    shown = total - frames[Verdict.BLIND]
    return not now.failed and total > 0 and shown >= total * LEAST_SHOWN


def _now() -> float:
    return asyncio.get_running_loop().time()
