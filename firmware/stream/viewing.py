"""What there is to see: the pages, the redacted stream and the status, and the viewers who watch."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

from firmware.core.frames import Redacted
from firmware.fanout import Fanout
from firmware.status import StatusSource
from firmware.stream.aiortc_seams import check_seams, keep_quiet
from firmware.stream.ice import IcePolicy, read_policy
from firmware.stream.options import StreamOptions
from firmware.stream.pages import Pages
from firmware.stream.server import Routes
from firmware.stream.telemetry import Telemetry
from firmware.stream.viewers import Viewers
from firmware.stream.watchers import Watchers
from firmware.stream.whep import Whep


@dataclass(frozen=True, slots=True)
class Viewing:
    """The table of viewers, and the routes that lead to them."""

    viewers: Viewers
    routes: Sequence[Routes]


def _read(options: StreamOptions) -> tuple[IcePolicy, Pages]:
    check_seams()
    keep_quiet()
    return read_policy(options.settings().ice_addresses, os.environ), Pages(
        lambda: options.settings().contact
    )


async def viewing(
    options: StreamOptions, watchers: Watchers, fanout: Fanout[Redacted], status: StatusSource
) -> Viewing:
    """Make everything that viewers can reach; `Viewers.running` lets them in.

    Raises:
        ConfigError: an option is not valid.
        DriverUnavailable: the installed aiortc or aioice is not the one this release was made for.
    """
    policy, pages = await asyncio.to_thread(_read, options)
    viewers = Viewers(
        fanout,
        policy,
        most=lambda: options.settings().max_viewers,
        connect_within_s=options.connect_within_s,
        may_go_on=watchers.may_go_on,
    )
    telemetry = Telemetry(fanout, viewers, watchers, status, options.device)
    return Viewing(viewers, (pages, Whep(viewers, watchers), telemetry))
