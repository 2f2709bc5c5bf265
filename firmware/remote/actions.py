"""How the commands of a broker are carried out: by what the camera offers everybody else, nothing more."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from firmware.access.change import GovernedSettings
from firmware.ports import Updates
from firmware.remote.commands import CommandRefused, Commands, Outcome

logger = logging.getLogger(__name__)

LOCKED = {"hide": "people", "viewing": "login", "raw": "never"}
"""The most private values of what can be seen."""
WHO = "broker"
PICTURE_S = 10.0


@dataclass(frozen=True, slots=True)
class Offered:
    """What commands are carried out with."""

    settings: GovernedSettings
    updates: Updates
    about: Callable[[], Mapping[str, object]]
    """Says which camera it is and how it is, with nothing secret in it."""
    picture: Callable[[], Awaitable[bytes]]
    """Gives the next redacted picture, JPEG."""
    restart: Callable[[], None]


def offer_all(commands: Commands, offered: Offered) -> None:
    """Say how each command is carried out."""

    async def identify(args: Mapping[str, object]) -> Outcome:
        _require(args)
        logger.warning("somebody asks over MQTT which camera this is")
        return Outcome({"device": offered.about().get("device")})

    async def restart(args: Mapping[str, object]) -> Outcome:
        _require(args)
        return Outcome({}, offered.restart)

    async def snapshot(args: Mapping[str, object]) -> Outcome:
        _require(args)
        return Outcome({"jpeg": base64.b64encode(await _next(offered.picture)).decode()})

    async def support(args: Mapping[str, object]) -> Outcome:
        _require(args)
        status = await asyncio.to_thread(offered.updates.status)
        told = {"camera": offered.about(), "settings": _scrubbed(offered.settings), "update": status}
        return Outcome(json.loads(json.dumps(told, default=str)))

    async def lockdown(args: Mapping[str, object]) -> Outcome:
        _require(args)
        done = await offered.settings.change(WHO, LOCKED)
        return Outcome({"changed": list(done.changed)})

    async def update(args: Mapping[str, object]) -> Outcome:
        _require(args, "url", "statement")
        url, statement = args.get("url"), args.get("statement")
        if not isinstance(url, str) or not url.startswith("https://"):
            raise CommandRefused("url: name the update's address, https://...")
        if statement is not None and not isinstance(statement, str):
            raise CommandRefused("statement: is no text")
        done = await asyncio.to_thread(offered.updates.install, url, statement)
        return Outcome({key: done[key] for key in ("phase", "version", "counter")})

    for action in (identify, restart, snapshot, support, lockdown, update):
        commands.offer(action.__name__, action)


async def _next(picture: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return a picture that comes in time; raises CommandRefused."""
    try:
        async with asyncio.timeout(PICTURE_S):
            return await picture()
    except (TimeoutError, ValueError) as exc:
        raise CommandRefused("no picture comes; see how the camera is") from exc


def _require(args: Mapping[str, object], *known: str) -> None:
    if not args.keys() <= set(known):
        raise CommandRefused(f"args: it takes {', '.join(known) or 'none'}")


def _scrubbed(settings: GovernedSettings) -> dict[str, object]:
    """Return the settings without what names people or places: those who help need how, not who."""
    values = settings.now.values()
    return {
        key: value for key, value in values.items() if isinstance(value, bool | int | float) or key in PLAIN
    }


PLAIN = frozenset({"hide", "viewing", "raw", "update_hours", "mqtt_commands"})
"""Texts among the settings that are words of our own."""
