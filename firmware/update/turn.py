"""When a camera takes up an update by itself: nobody watches the raw picture, and it is the time for it.

What is written and armed waits for the next start; this ends the present one. A grant of the raw picture
would end with it, so it waits for the last of them; its owner may name hours for it (`update_hours`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from firmware.config.hours import within
from firmware.ports import Clock
from firmware.update.service import UpdateService

logger = logging.getLogger(__name__)

LOOK_S = 1.0

BOOTED = "VEILCAM_BOOTED"
"""Is in the environment where `veilcam ota boot` has started the camera: ending leads to the new version."""

BUSY = "somebody may see the raw picture"
LATER = "it is not the time for updates"


class Turn:
    """Waits until the process may end for an update."""

    def __init__(
        self, updates: UpdateService, watched: Callable[[], bool], hours: Callable[[], str], clock: Clock
    ) -> None:
        self._updates = updates
        self._watched = watched
        self._hours = hours
        self._clock = clock

    async def wait(self) -> None:
        """Return once an update was armed by this process, and nothing keeps it from being taken up."""
        said = ""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._updates.armed:
                continue
            waits = self.waits()
            if not waits:
                logger.warning("starting again, with the update")
                return
            if waits != said:
                said = waits
                logger.info("an update waits: %s", waits)

    def waits(self) -> str:
        """Return what an update waits for; nothing where it need not."""
        if self._watched():
            return BUSY
        now = time.localtime(self._clock.wall_ns() / 1e9)
        return "" if within(self._hours(), now.tm_hour * 60 + now.tm_min) else LATER
