"""A version on trial keeps itself or gives itself up: it has to show that it works, and that it is reached.

Healthy is: frames are released and not all of them hidden whole, every detector found the known face when it
was opened (else nothing but hidden pictures would be released), and the camera answers at its own address.
That has to hold for a while, within a time; what does not is rolled back, and the process ends, so that
whoever starts it takes the version before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from firmware.audit import Act, Audit
from firmware.core.frames import Verdict
from firmware.errors import UpdateError, VeilcamError
from firmware.status import CameraStatus, StatusSource
from firmware.update.record import Phase
from firmware.update.service import UpdateService

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

    async def run(self, status: StatusSource, reached: Callable[[], Awaitable[bool]]) -> None:
        """Confirm what is on trial once it is healthy; does nothing where nothing is.

        Raises:
            UpdateError: it did not get healthy in time, and was rolled back.
        """
        try:
            before = await asyncio.to_thread(self._updates.status)
            record = await self._noted(self._updates.begun, before)
        except VeilcamError as exc:
            # A camera that cannot be updated still hides people.
            logger.error("updates are not possible: %s", exc)  # noqa: TRY400 - no traceback is wanted
            return
        if record["phase"] != Phase.TRIAL.value:
            return
        version = record["version"]
        logger.warning("version %s is on trial", version)
        await self._try(str(version), status, reached)

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


def _is_healthy(before: CameraStatus, now: CameraStatus) -> bool:
    """Say whether frames flow since then, and enough of them are shown."""
    frames = {one: now.released.get(one, 0) - before.released.get(one, 0) for one in Verdict}
    total = sum(frames.values())
    shown = total - frames[Verdict.BLIND]
    return not now.failed and total > 0 and shown >= total * LEAST_SHOWN


def _now() -> float:
    return asyncio.get_running_loop().time()
