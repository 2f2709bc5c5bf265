"""What a camera says and hears at its broker: the one place where topics meet what they are about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from firmware.access.change import GovernedSettings
from firmware.audit import Audit
from firmware.config.settings import Settings
from firmware.ports import Clock
from firmware.remote.actions import Offered, offer_all
from firmware.remote.broker import Broker
from firmware.remote.commands import Commands
from firmware.remote.desired import Desired
from firmware.remote.events import Events, Facts
from firmware.remote.home_assistant import announce
from firmware.remote.outbox import Outbox
from firmware.remote.service import RemoteService

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
    events: Events

    async def run(self) -> None:
        """Keep it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run())
            tasks.create_task(self.desired.run())
            tasks.create_task(self.commands.run())
            tasks.create_task(self.events.run())


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
    return Link(broker, desired, commands, events)


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
