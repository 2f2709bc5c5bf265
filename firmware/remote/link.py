"""What a camera says and hears at its broker: the one place where topics meet what they are about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from firmware.access.change import GovernedSettings
from firmware.config.settings import Settings
from firmware.remote.broker import Broker
from firmware.remote.desired import Desired
from firmware.remote.outbox import Outbox
from firmware.remote.service import RemoteService

NAMED_BY = ("mqtt", "mqtt_ca")
"""Settings that say which broker it is."""


@dataclass(frozen=True, slots=True)
class Link:
    """The connection, and what goes over it."""

    broker: Broker
    desired: Desired

    async def run(self) -> None:
        """Keep it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run())
            tasks.create_task(self.desired.run())


async def open_link(
    state: Path,
    remote: RemoteService,
    settings: GovernedSettings,
    healthy: Callable[[], Awaitable[bool]],
) -> Link:
    """Return the camera's side of the connection, ready to run; raises OutputError, OSError.

    `healthy` says whether the camera works and is reached at its own address.
    """
    broker = Broker(remote.device, await asyncio.to_thread(Outbox, state), remote.options)
    remote.changed = broker.moved
    remote.connection = lambda: {
        "up": broker.is_up,
        "why": broker.why,
        "connections": broker.connections,
        "waiting": broker.waiting,
        "refused": broker.refused,
    }
    before = settings()

    def changed(told: Settings) -> None:
        nonlocal before
        if any(getattr(told, key) != getattr(before, key) for key in NAMED_BY):
            broker.moved()
        before = told

    settings.watch(changed)
    return Link(broker, await asyncio.to_thread(Desired, state, settings, broker, healthy))
