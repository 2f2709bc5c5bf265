"""A version on trial keeps itself or gives itself up: it has to show that it works, and that it is reached.

First it measures what it hides of the built-in scene: a version that hides less than the one before is given
up (see `agent.show`). Healthy is: frames are released and not all of them hidden whole, every detector found
the known face when it was opened (else nothing but hidden pictures would be released), and the camera answers
at its own address. That has to hold for a while, within a time; what does not is rolled back, and the process
ends, so that whoever starts it takes the version before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from firmware.audit import Act, Audit
from firmware.core.frames import Verdict
from firmware.core.policy import PEOPLE
from firmware.errors import UpdateError, VeilcamError
from firmware.status import CameraStatus, StatusSource
from firmware.update.record import Phase
from firmware.update.service import UpdateService
from ota.release import Privacy

logger = logging.getLogger(__name__)

HELD_S = 5.0
WITHIN_S = 120.0
LOOK_S = 0.5
LEAST_SHOWN = 0.5
"""Share of the frames that has to be shown, not hidden whole."""


class Trial:
    """One start's part in an update."""

    def __init__(self, updates: UpdateService, audit: Audit) -> None:
        self._updates = updates
        self._audit = audit

    async def run(
        self,
        status: StatusSource,
        reached: Callable[[], Awaitable[bool]],
        shows: Callable[[], Awaitable[float]],
    ) -> None:
        """Confirm what is on trial once it is healthy; does nothing where nothing is.

        `shows` measures which share of the built-in scene's people this version hides.

        Raises:
            UpdateError: it hides less, or did not get healthy in time, and was rolled back.
        """
        try:
            before = await asyncio.to_thread(self._updates.status)
            record = await self._noted(self._updates.begun, before)
            if record["phase"] != Phase.TRIAL.value:
                if record["recall"] is None and await asyncio.to_thread(self._updates.trusts):
                    await asyncio.to_thread(self._updates.show, await _measured(shows))
                return
        except VeilcamError as exc:
            # A camera that cannot be updated still hides people.
            logger.error("updates are not possible: %s", exc)  # noqa: TRY400 - no traceback is wanted
            return
        logger.warning("version %s is on trial", record["version"])
        await self._show(shows)
        await self._try(str(record["version"]), status, reached)

    async def _show(self, shows: Callable[[], Awaitable[float]]) -> None:
        """Hold what this version hides against the one before; raises UpdateError where it is less."""
        try:
            privacy = await _measured(shows)
        except VeilcamError as exc:
            why = f"its self-test failed: {exc}"
            told = await self._noted(lambda: self._updates.rollback(why))
        else:
            told = await self._noted(lambda: self._updates.show(privacy))
        if told["phase"] != Phase.TRIAL.value:
            raise UpdateError(f"{told['last']}; the next start takes the one before")

    async def _try(self, version: str, status: StatusSource, reached: Callable[[], Awaitable[bool]]) -> None:
        begun, healthy_since, before = _now(), None, status()
        while _now() - begun < WITHIN_S:
            await asyncio.sleep(LOOK_S)
            if not _is_healthy(before, status()) or not await reached():
                healthy_since = None
                before = status()
            elif healthy_since is None:
                healthy_since = _now()
            elif _now() - healthy_since > HELD_S:
                await self._noted(self._updates.confirm)
                logger.warning("version %s is confirmed", version)
                return
        why = status().reason or "no frames"
        await self._noted(lambda: self._updates.rollback(why))
        raise UpdateError(f"version {version} was rolled back: {why}; the next start takes the one before")

    async def _noted(
        self, step: Callable[[], dict[str, object]], before: dict[str, object] | None = None
    ) -> dict[str, object]:
        """Go one step, and record it where it changed something."""
        told = await asyncio.to_thread(step)
        if told != before:
            about = {key: told[key] for key in ("phase", "version", "counter", "last")}
            await self._audit.record(Act.UPDATE_ENDED, "camera", about)
        return told


async def _measured(shows: Callable[[], Awaitable[float]]) -> Privacy:
    privacy = Privacy(PEOPLE.digest, round(await shows() * 10_000))
    logger.info("the self-test has %.1f %% of the scene's people hidden", privacy.recall / 100)
    return privacy


def _is_healthy(before: CameraStatus, now: CameraStatus) -> bool:
    """Say whether frames flow since then, and enough of them are shown."""
    frames = {one: now.released.get(one, 0) - before.released.get(one, 0) for one in Verdict}
    total = sum(frames.values())
    shown = total - frames[Verdict.BLIND]
    return not now.failed and total > 0 and shown >= total * LEAST_SHOWN


def _now() -> float:
    return asyncio.get_running_loop().time()
