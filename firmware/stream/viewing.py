"""What there is to see: the pages, the redacted stream and the status, and the viewers who watch."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from firmware.access.grants import Grants
from firmware.access.owner import Ownership
from firmware.access.people import People
from firmware.access.sessions import Sessions
from firmware.audit import Audit
from firmware.core.frames import Raw, Redacted
from firmware.fanout import Fanout
from firmware.ports import Lamp
from firmware.status import StatusSource, Vitals, VitalsSource
from firmware.stream.aiortc_seams import check_seams, keep_quiet
from firmware.stream.ice import IcePolicy, read_policy
from firmware.stream.options import StreamOptions
from firmware.stream.pages import Facts, Pages
from firmware.stream.raw import RawRecords, RawWhep
from firmware.stream.server import Routes
from firmware.stream.telemetry import Telemetry
from firmware.stream.viewers import Viewers
from firmware.stream.watchers import Watchers
from firmware.stream.whep import Whep

RAW_MOST = 8
"""Raw sessions at the same time."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What can be seen: both renditions, who may see which, and what watches over the raw one."""

    redacted: Fanout[Redacted]
    raw: Fanout[Raw]
    ownership: Ownership
    people: People
    grants: Grants
    sessions: Sessions
    audit: Audit
    lamp: Lamp | None = None
    vitals: VitalsSource = Vitals


@dataclass(frozen=True, slots=True)
class Viewing:
    """The tables of viewers, and the routes that lead to them."""

    viewers: Viewers[Redacted]
    raw_viewers: Viewers[Raw]
    routes: Sequence[Routes]

    @asynccontextmanager
    async def running(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Keep both tables for the length of the block; then end every session."""
        async with self.viewers.running(tasks), self.raw_viewers.running(tasks):
            yield


def _read(options: StreamOptions) -> IcePolicy:
    check_seams()
    keep_quiet()
    return read_policy(options.settings().ice_addresses, os.environ)


async def viewing(options: StreamOptions, shown: Shown, status: StatusSource) -> Viewing:
    """Make everything that viewers can reach; `Viewing.running` lets them in.

    Raises:
        ConfigError: an option is not valid.
        DriverUnavailable: the installed aiortc or aioice is not the one this release was made for.
    """
    policy = await asyncio.to_thread(_read, options)
    within_s = options.connect_within_s
    watchers = Watchers(options.settings, shown.sessions, shown.redacted)
    viewers: Viewers[Redacted] = Viewers(
        policy, most=lambda: options.settings().max_viewers, connect_within_s=within_s
    )
    records = RawRecords(shown.grants, shown.audit, shown.lamp)
    raw_viewers: Viewers[Raw] = Viewers(
        policy, most=lambda: RAW_MOST, connect_within_s=within_s, records=records
    )
    shown.grants.watch(lambda grant: raw_viewers.hurry())
    facts = Facts(
        options, shown.ownership, shown.people, shown.sessions, shown.grants, shown.audit, raw_viewers
    )
    pages = await asyncio.to_thread(Pages, facts)
    telemetry = Telemetry(
        shown.redacted, viewers, raw_viewers, watchers, status, options.device, shown.vitals
    )
    raw = RawWhep(raw_viewers, shown.raw, shown.grants)
    return Viewing(viewers, raw_viewers, (pages, Whep("redacted", viewers, watchers), raw, telemetry))
