"""Keeps the newest head of the record with somebody off the device, where there is such an anchor."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from firmware.access.record import sign_head
from firmware.audit import EMPTY, Audit
from firmware.ports import Anchor, KeyStore

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""Heads that follow one another faster are sent as the newest of them."""
RETRY_S = 5.0
KEEP_S = 15.0

Finds: TypeAlias = Callable[[], Anchor | None]
"""Gives the anchor of the moment."""


async def anchored(audit: Audit, keys: KeyStore, finds: Finds) -> None:
    """Hand every new head over, and the newest again to whoever takes an anchor's place, for ever."""
    kept, keeper = EMPTY, None
    while True:
        anchor, wait_s = finds(), EVERY_S
        if anchor is not None and (audit.head != kept or anchor is not keeper):
            head = audit.head
            try:
                async with asyncio.timeout(KEEP_S):
                    await anchor.keep(await asyncio.to_thread(sign_head, head, keys))
                kept, keeper = head, anchor
            except (OSError, TimeoutError) as exc:
                logger.warning(
                    "the head of the record is not kept off the device: %s", str(exc) or "no answer"
                )
                wait_s = RETRY_S
        audit.kept = None if anchor is None else kept
        await asyncio.sleep(wait_s)
