"""What a camera says and hears at its broker: the one place where topics meet what they are about."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from firmware.access.change import GovernedSettings
from firmware.audit import Audit
from firmware.config.settings import Settings
from firmware.errors import VeilcamError
from firmware.ports import Clock, Updates
from firmware.remote.actions import Offered, offer_all
from firmware.remote.broker import Broker
from firmware.remote.commands import Commands
from firmware.remote.desired import Desired
from firmware.remote.events import Events, Facts
from firmware.remote.home_assistant import announce
from firmware.remote.outbox import Outbox
from firmware.remote.service import RemoteService
from firmware.remote.topics import UPDATE_STATUS

UPDATES_S = 5.0
"""How often the broker is told how updates stand, where that has changed."""

NAMED_BY = ("mqtt", "mqtt_ca")
"""Settings that say which broker it is."""


@dataclass(frozen=True, slots=True)
class Camera:
    """What the link is about."""

    state: Path
    remote: RemoteService
    settings: GovernedSettings
    audit: Audit
    clock: Clock
    healthy: Callable[[], Awaitable[bool]]
    """Says whether the camera works and is reached at its own address."""
    offered: Offered
    facts: Facts


@dataclass(frozen=True, slots=True)
class Link:
    """The connection, and what goes over it."""

    broker: Broker
    desired: Desired
    commands: Commands
    updates: Updates
    events: Events

    async def run(self) -> None:
        """Keep it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run())
            tasks.create_task(self.desired.run())
            tasks.create_task(self.commands.run())
            tasks.create_task(self._tell_updates())
            tasks.create_task(self.events.run())

    async def _tell_updates(self) -> None:
        """Have the broker retain how updates stand."""
        while True:
            with suppress(VeilcamError):
                told = await asyncio.to_thread(self.updates.status)
                self.broker.keep(UPDATE_STATUS, json.dumps(told).encode())
            await asyncio.sleep(UPDATES_S)


async def open_link(camera: Camera) -> Link:
    """Return the camera's side of the connection, ready to run; raises OutputError, OSError."""
    link = await asyncio.to_thread(_opened, camera)
    _follow(camera, link.broker)
    camera.settings.watch(announce(link.broker, camera.settings()))
    offer_all(link.commands, camera.offered)
    return link


def _opened(camera: Camera) -> Link:
    broker = Broker(camera.remote.device, Outbox(camera.state), camera.remote.options)
    desired = Desired(camera.state, camera.settings, broker, camera.healthy)
    commands = Commands(camera.state, broker, camera.settings, camera.audit, camera.clock)
    events = Events(broker, camera.facts, camera.settings, camera.clock)
    return Link(broker, desired, commands, camera.offered.updates, events)


def _follow(camera: Camera, broker: Broker) -> None:
    """Have the connection made anew where the settings name another broker, and its state known."""
    remote, settings = camera.remote, camera.settings
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
