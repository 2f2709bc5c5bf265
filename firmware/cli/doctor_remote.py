"""What `veilcam doctor --state DIR` says of the camera's broker; it writes nothing and is nobody there."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

from firmware.access.identity import known_identity
from firmware.config.settings import Settings
from firmware.config.store import settings_in
from firmware.errors import VeilcamError
from firmware.ports import SystemClock
from firmware.remote.broker import NotReady
from firmware.remote.reach import NotReached, reach
from firmware.remote.service import RemoteService

SOON_S = 14 * 86_400
"""A certificate that ends within so many seconds is to be renewed."""


def examine(state: Path) -> Iterator[tuple[bool, str, str]]:
    """Yield whether it is well, `certificate` or `broker`, and what was seen or what to do."""
    try:
        identity = known_identity(state)
        settings = settings_in(state) or Settings()
    except VeilcamError as exc:
        yield False, "broker", str(exc)
        return
    if identity is None:
        return
    remote = RemoteService(state, identity, lambda: settings, SystemClock())
    try:
        ends_s = remote.certificate_ends_s()
    except VeilcamError as exc:
        yield False, "certificate", str(exc)
        return
    yield _certificate(ends_s, named=remote.named)
    yield _broker(remote, settings.mqtt)


def _certificate(ends_s: int | None, *, named: bool) -> tuple[bool, str, str]:
    if ends_s is None:
        if not named:
            return True, "certificate", "none for a broker, and none is needed while no broker is named"
        return (
            False,
            "certificate",
            "none for the broker; veilcam remote request, have it signed, then install",
        )
    left_s = ends_s - time.time()
    told = f"good until {dt.datetime.fromtimestamp(ends_s, dt.UTC):%Y-%m-%d}, {left_s / 86_400:.0f} days"
    if left_s <= 0:
        told = f"expired on {dt.datetime.fromtimestamp(ends_s, dt.UTC):%Y-%m-%d}"
    if left_s < SOON_S:
        return False, "certificate", f"{told}; renew it: veilcam remote request, have it signed, then install"
    return True, "certificate", told


def _broker(remote: RemoteService, peer: str | None) -> tuple[bool, str, str]:
    if peer is None:
        return True, "broker", "none is named; nobody was contacted (to name one: veilcam settings set mqtt=)"
    try:
        version = asyncio.run(reach(remote.options()))
    except NotReady as exc:
        return False, "broker", f"{peer} was not contacted: {exc}"
    except (NotReached, VeilcamError) as exc:
        return False, "broker", str(exc)
    return True, "broker", f"{peer} answers by {version}, and takes the certificate of {remote.device}"
