"""Composition root of the camera: the parts list of one running device, and its one task group."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from firmware.access.anchoring import anchored
from firmware.access.change import GovernedSettings
from firmware.access.identity import TlsFiles
from firmware.binding import BoundDetectors, bind_camera, bind_detectors, bind_encoder, bind_lamp
from firmware.config.drivers import CameraOptions, SceneOptions
from firmware.config.model import ModelCache
from firmware.config.portrait import portrait
from firmware.config.profile import Profile
from firmware.config.settings import Settings
from firmware.core.frames import Kind, Redacted
from firmware.core.policy import PEOPLE, POLICIES
from firmware.desk import Desk, open_desk
from firmware.drivers.camera_scene import SceneCamera
from firmware.errors import VeilcamError, first_error
from firmware.fanout import Fanout
from firmware.health import Notifier, Pulse, beat
from firmware.pipeline.count import Count
from firmware.pipeline.detect import Detect, LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.flow import Flow
from firmware.pipeline.known import KnownFace
from firmware.pipeline.raw import RawRendition
from firmware.pipeline.recall import FPS, HEIGHT, WIDTH, measure_recall
from firmware.pipeline.snapshot import Snapshots
from firmware.pipeline.tamper import Tamper
from firmware.ports import CameraInfo, Clock, SystemClock
from firmware.remote.actions import Offered
from firmware.remote.events import Facts
from firmware.remote.link import Camera, open_link
from firmware.remote.syslog import check_authority, syslog_of
from firmware.state import own
from firmware.status import CameraStatus, StatusSource
from firmware.stream.control import serve_control
from firmware.stream.ice import read_policy
from firmware.stream.listen import ANYWHERE, Listen, read_listen, read_tls
from firmware.stream.options import StreamOptions
from firmware.stream.server import ServedAddress, answers, serve
from firmware.stream.viewing import Shown, viewing
from firmware.update.device import Board
from firmware.update.trial import Trial
from firmware.update.turn import BOOTED, Turn

logger = logging.getLogger(__name__)

SILENT_NS = 5_000_000_000
"""A camera that released nothing for so long has failed, whatever the reason."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run of the camera is made of."""

    profile: Profile
    camera: CameraOptions
    first: Settings | None
    """Settings of a state folder that has none yet."""
    cache: ModelCache
    state: Path
    listen: str
    claim_anew: bool = False
    """A new claim code at each start, until somebody has claimed the camera."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What there is to say once the camera serves; the claim code is known this once, or never."""

    served: ServedAddress
    detectors: BoundDetectors
    claim_code: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the broker hears of: the flow, its camera, how it is, whether somebody sees the raw picture."""

    flow: Flow
    info: CameraInfo
    status: StatusSource
    raw: Callable[[], bool]


class _StopAskedError(Exception):
    """Somebody asked the process to end."""


async def run_camera(options: RunOptions, ready: Callable[[Ready], None]) -> None:
    """Run until asked to stop; `ready` is called once the camera serves.

    Raises:
        VeilcamError: a stage ended; the process ends with it and systemd starts it again.
    """
    try:
        await _run(options, ready)
    except* _StopAskedError:
        logger.info("stopped")
    except* VeilcamError as group:
        raise first_error(group) from None


async def _run(options: RunOptions, ready: Callable[[Ready], None]) -> None:
    stop, clock = _stop_asked(), SystemClock()
    profile, listen = options.profile, read_listen(options.listen)
    async with AsyncExitStack() as parts:
        parts.enter_context(own(options.state))
        names = [] if listen.host in ANYWHERE else [listen.host]
        board = Board(profile.name, profile.boot)
        desk = await open_desk(options.state, clock, options.first, names, board, profile.keys)
        settings, identity = desk.settings, desk.identity
        if options.first not in (None, settings()):
            logger.warning("this camera has settings: --settings is not read; use veilcam settings set")
        detectors = await asyncio.to_thread(bind_detectors, profile.detectors, profile.look, options.cache)
        opens_encoder = bind_encoder(profile.encoder)
        lamp = await asyncio.to_thread(bind_lamp, profile.lamp)
        camera = await parts.enter_async_context(bind_camera(options.camera)())
        info = camera.info
        encoder = await parts.enter_async_context(opens_encoder(info.width, info.height, info.fps))
        rendition = RedactedRendition(encoder)
        fanout = Fanout(Redacted, rendition.want_keyframe)
        parts.callback(fanout.close)
        look = LookOptions(rate_hz=profile.look.rate_hz, deadline_s=profile.look.deadline_s)
        known = KnownFace(await asyncio.to_thread(portrait, options.cache))
        detects = [
            Detect(one.model, one.finds, one.opens, known.require, look, clock) for one in detectors.detectors
        ]
        flow = Flow(
            camera,
            detects,
            [rendition, snapshots := Snapshots()],
            lambda told: fanout.publish(told.packet),
            POLICIES[settings().hide],
            clock,
        )
        status = StatusBoard(flow, info, detectors, clock)
        tasks = await parts.enter_async_context(asyncio.TaskGroup())
        raw = RawRendition(flow, lambda: opens_encoder(info.width, info.height, info.fps), desk.grants)
        parts.callback(raw.fanout.close)
        told = StreamOptions(settings, options.listen, identity.tls, identity.fingerprint)
        shown = Shown(
            fanout,
            raw.fanout,
            desk.ownership,
            desk.people,
            desk.grants,
            desk.sessions,
            desk.audit,
            lamp,
            desk.vitals,
        )
        seen = await viewing(told, shown, status)
        _govern(settings, flow, listen, identity.tls)
        served = await parts.enter_async_context(serve(told, desk.gate, (*seen.routes, *desk.routes)))
        await parts.enter_async_context(serve_control(options.state, desk.gate, desk.routes))
        await parts.enter_async_context(seen.running(tasks))
        tasks.create_task(flow.run())
        tasks.create_task(raw.run())
        tasks.create_task(desk.grants.run())
        tasks.create_task(
            _keep_current(desk, clock, status, served.url, partial(self_test, detectors, options.cache))
        )
        tasks.create_task(anchored(desk.audit, identity.keys, syslog_of(settings)))
        works = partial(_works, status, served.url)
        about = partial(_about, desk, profile, status)
        offered = Offered(settings, desk.updates, about, snapshots.take, stop.set)
        observed = Observed(flow, info, status, lambda: len(seen.raw_viewers) > 0)
        tasks.create_task(_linked(options.state, desk, clock, works, offered, observed))
        tasks.create_task(beat(status.pulse, Notifier()))
        tasks.create_task(_end_when(stop))
        first_code = partial(desk.ownership.first_code, anew=options.claim_anew)
        ready(Ready(served, detectors, await asyncio.to_thread(first_code)))
        await asyncio.get_running_loop().create_future()


class StatusBoard:
    """Tells pages, metrics and systemd how the flow is."""

    def __init__(self, flow: Flow, camera: CameraInfo, detectors: BoundDetectors, clock: SystemClock) -> None:
        self._flow = flow
        self._camera = camera
        self._detectors = detectors
        self._clock = clock
        self._smallest = {
            kind: detectors.smallest(kind, camera.width, camera.height) for kind in (Kind.FACE, Kind.PERSON)
        }
        self._begun_ns = clock.monotonic_ns()

    def __call__(self) -> CameraStatus:
        """Return the state of this moment."""
        report, now = self._flow.report(), self._clock.monotonic_ns()
        last_ns = self._begun_ns if report.last_release_ns is None else report.last_release_ns
        return CameraStatus(
            verdict=report.verdict,
            released_fps=report.released_fps,
            latency_p50_ms=report.latency_p50_ms,
            latency_p95_ms=report.latency_p95_ms,
            chain=self._detectors.chain,
            detectors=self._detectors.names,
            width=self._camera.width,
            height=self._camera.height,
            smallest_face=self._smallest[Kind.FACE],
            smallest_body=self._smallest[Kind.PERSON],
            uptime_s=(now - self._begun_ns) / 1e9,
            failed=now - last_ns > max(SILENT_NS, round(self._camera.patience_s * 1e9)),
            reason=report.reason,
            detector_restarts=report.restarts,
            released=report.released,
            dropped=report.dropped,
        )

    def pulse(self) -> Pulse:
        """Return the counters that systemd's watchdog is fed by."""
        report = self._flow.report()
        # A camera of which one detector has gone silent is blind: it does not work.
        return Pulse(report.frames, min(report.looks.values()))


async def self_test(detectors: BoundDetectors, cache: ModelCache) -> float:
    """Return which share of the built-in scene's people this version hides, with this machine's detectors.

    Raises:
        DetectorFailed: a detector cannot be opened, or fails.
    """
    scene = SceneOptions(driver="scene", width=WIDTH, height=HEIGHT, fps=FPS)
    camera = await asyncio.to_thread(SceneCamera, scene, await asyncio.to_thread(portrait, cache))
    return await measure_recall([one.opens for one in detectors.detectors], camera.draw, PEOPLE)


def _govern(settings: GovernedSettings, flow: Flow, listen: Listen, tls: TlsFiles) -> None:
    """Have every change of the settings checked on this machine, and the camera hide as it is told."""
    settings.check(lambda told: read_policy(told.ice_addresses, {}))
    settings.check(lambda told: read_tls(told, listen, tls))
    settings.check(check_authority)
    settings.watch(lambda told: _apply(told, flow))
    _apply(settings(), flow)


def _apply(settings: Settings, flow: Flow) -> None:
    """Have the running camera hide as it is told."""
    flow.use(POLICIES[settings.hide])
    flow.keep(settings.hold_frames)


def _stop_asked() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _about(desk: Desk, profile: Profile, status: StatusSource) -> dict[str, object]:
    """Say which camera it is and how it is, for whoever helps."""
    told = asdict(status())
    return {"device": desk.identity.fingerprint, "board": profile.name, "status": told}


async def _linked(
    state: Path,
    desk: Desk,
    clock: Clock,
    works: Callable[[], Awaitable[bool]],
    offered: Offered,
    observed: Observed,
) -> None:
    """Keep the connection to the broker, where the settings name one, and watch what it is to hear."""
    tamper, count = Tamper(observed.flow), _counted(observed, desk.settings, clock)
    raw, told = observed.raw, lambda: tamper.told
    keys = desk.identity.keys
    facts = Facts(observed.status, raw, told, count.window, desk.updates, state, desk.audit, keys)
    camera = Camera(state, desk.remote, desk.settings, desk.audit, clock, works, offered, facts)
    link = await open_link(camera)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tamper.run())
        tasks.create_task(link.run())


def _counted(observed: Observed, settings: GovernedSettings, clock: Clock) -> Count:
    """Return the counts of the flow, as the settings have them from now on."""
    count = Count(observed.info, clock)

    def use(told: Settings) -> None:
        zones, lines = [one.place() for one in told.zones], [one.place() for one in told.lines]
        count.use(zones, lines, told.least_count)

    use(settings())
    settings.watch(use)
    observed.flow.watch(count.saw)
    return count


async def _works(status: StatusSource, url: str) -> bool:
    """Say whether the camera works, and is reached at its own address."""
    return not status().failed and await answers(url)


async def _keep_current(
    desk: Desk, clock: Clock, status: StatusSource, url: str, shows: Callable[[], Awaitable[float]]
) -> None:
    """Try the version that is on trial; then end for an update, where it was started by what starts one."""
    await Trial(desk.updates, desk.audit).run(status, lambda: answers(url), shows)
    if BOOTED in os.environ:
        await Turn(desk.updates, desk.grants.any_live, lambda: desk.settings().update_hours, clock).wait()
        await asyncio.to_thread(desk.updates.take_up)
        raise _StopAskedError


async def _end_when(stop: asyncio.Event) -> None:
    """End the task group once the event is set."""
    await stop.wait()
    raise _StopAskedError
