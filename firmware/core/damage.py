"""Pictures that a camera sent and that cannot be decoded: left out and counted, until it lasts too long."""

import logging

from firmware.core.policy import SECOND_NS
from firmware.errors import CameraLost

BLIND_AFTER_NS = SECOND_NS // 2
"""Without a picture for so long, frames are delivered that are hidden whole: viewers see that it lasts."""

GIVE_UP_NS = 15 * SECOND_NS
"""Longer than the pause between two key frames of common cameras."""

TOLD_EVERY_NS = 60 * SECOND_NS

logger = logging.getLogger(__name__)


class DamagedError(Exception):
    """A picture came that cannot be decoded, or may not be shown; the text says why."""


class WaitingError(DamagedError):
    """A picture came that depends on one that is missing, and whose loss was told."""


class Damage:
    """Keeps the account of one camera's damaged pictures."""

    def __init__(self, name: str, now_ns: int) -> None:
        self._name = name
        self._good_ns = now_ns
        self._told_ns: int | None = None
        self._skipped = 0
        self._untold = 0

    def good(self, now_ns: int) -> int:
        """Take note of a good picture; returns how many were left out and not told of yet."""
        self._good_ns = now_ns
        return self._taken()

    def bad(self, now_ns: int, why: str) -> int | None:
        """Count a damaged picture; where none has been good for long, return how many were left out.

        Then a frame is due that is hidden whole.

        Raises:
            CameraLost: that has gone on for too long.
        """
        self._skipped += 1
        self._tell(now_ns, why)
        without_ns = now_ns - self._good_ns
        if without_ns > GIVE_UP_NS:
            raise CameraLost(
                f"{self._name}: no good picture for {GIVE_UP_NS // SECOND_NS} s ({why}); "
                "check its cable, network and settings, then restart"
            )
        return self._taken() if without_ns > BLIND_AFTER_NS else None

    def _taken(self) -> int:
        skipped, self._skipped = self._skipped, 0
        return skipped

    def _tell(self, now_ns: int, why: str) -> None:
        self._untold += 1
        if self._told_ns is not None and now_ns - self._told_ns < TOLD_EVERY_NS:
            return
        logger.warning("%s: damaged pictures left out: %d (%s)", self._name, self._untold, why)
        self._told_ns, self._untold = now_ns, 0
