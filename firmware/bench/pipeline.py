"""Measures the pipeline on the built-in scene or a clip, beside its floor, in one run."""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware.binding import bind_camera, bind_detectors, bind_encoder
from firmware.config.drivers import CameraOptions
from firmware.config.model import ModelCache
from firmware.config.portrait import portrait
from firmware.config.profile import Profile
from firmware.core.frames import Released
from firmware.core.policy import PEOPLE
from firmware.errors import UsageError, VeilcamError, first_error
from firmware.pipeline.detect import Detect, LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.floor import Floor
from firmware.pipeline.flow import Flow
from firmware.pipeline.known import KnownFace
from firmware.ports import SystemClock

WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters at one moment; CPU in nanoseconds."""

    wall_ns: int
    process_ns: int
    released: int
    looks: int
    shown: Mapping[str, int]
    """Pictures shown to each detector."""
    stages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """What one run showed; times in milliseconds per released frame unless the name says otherwise."""

    seconds: float
    width: int
    height: int
    chain: str
    detectors: tuple[str, ...]
    released_fps: float
    looks_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    verdicts: dict[str, int]
    dropped: dict[str, int]
    cpu_ms_per_frame: dict[str, float]
    floor_ms_per_frame: dict[str, float]
    ratio_to_floor: float
    """All of the process but drawing the scene, over the floor."""
    ratio_to_floor_with_camera: float
    rss_mib: list[float]
    """Resident memory at ten even moments of the run, in MiB."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def resident_mib() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _snapshot(flow: Flow, floor: Floor) -> Snapshot:
    report = flow.report()
    return Snapshot(
        time.monotonic_ns(),
        time.process_time_ns(),
        report.frames,
        min(report.looks.values()),
        floor.counted,
        report.cpu_ns,
    )


async def measure_pipeline(
    profile: Profile,
    camera_options: CameraOptions,
    cache: ModelCache,
    seconds: float,
    progress: Callable[[float], None],
) -> PipelineReport:
    """Run the pipeline for `seconds` after a warm-up, then its floor; `progress` gets seconds done.

    Raises:
        VeilcamError: a stage ended, or there was nothing to measure in the time given.
    """
    detectors = await asyncio.to_thread(bind_detectors, profile.detectors, profile.look, cache)
    opens_encoder = bind_encoder(profile.encoder)
    floor = Floor()
    async with AsyncExitStack() as parts:
        camera = await parts.enter_async_context(bind_camera(camera_options)())
        info = camera.info
        encoder = await parts.enter_async_context(opens_encoder(info.width, info.height, info.fps))
        known = KnownFace(await asyncio.to_thread(portrait, cache))
        look, clock = LookOptions(profile.look.rate_hz, profile.look.deadline_s), SystemClock()
        detects = [
            Detect(one.model, one.finds, floor.tap_detector(one.opens), known.require, look, clock)
            for one in detectors.detectors
        ]
        rendition = RedactedRendition(floor.tap_encoder(encoder))
        flow = Flow(camera, detects, [rendition], _discard, PEOPLE, clock)
        try:
            before, after, rss = await _run(flow, floor, seconds, progress)
        except* VeilcamError as group:
            raise first_error(group) from None
    frames, looks = after.released - before.released, after.looks - before.looks
    if not frames or not looks:
        raise UsageError(
            f"bench: {frames} frames and {looks} looks in {seconds:g} s are too few; give more --seconds, "
            "or see: veilcam doctor"
        )
    async with AsyncExitStack() as parts:
        opened = [await parts.enter_async_context(one.opens()) for one in detectors.detectors]
        await asyncio.to_thread(floor.looks_ms, opened, {one.name: 3 for one in opened})  # calls allocate
        shown = {name: after.shown[name] - count for name, count in before.shown.items()}
        looks_ms = await asyncio.to_thread(floor.looks_ms, opened, shown)
        alone = await parts.enter_async_context(opens_encoder(info.width, info.height, info.fps))
        encode_ms = await asyncio.to_thread(floor.encode_ms, alone, frames, info.fps)
    cpu = _cpu(before, after)
    bottom = {"detect": looks_ms / frames, "encode": encode_ms / frames}
    bottom["total"] = sum(bottom.values())
    span, report = (after.wall_ns - before.wall_ns) / 1e9, flow.report()
    return PipelineReport(
        seconds=span,
        width=info.width,
        height=info.height,
        chain=detectors.chain,
        detectors=detectors.names,
        released_fps=frames / span,
        looks_per_s=looks / span,
        latency_p50_ms=report.latency_p50_ms or 0.0,
        latency_p95_ms=report.latency_p95_ms or 0.0,
        verdicts={str(verdict): count for verdict, count in report.released.items()},
        dropped=dict(report.dropped),
        cpu_ms_per_frame=cpu,
        floor_ms_per_frame=bottom,
        ratio_to_floor=(cpu["total"] - cpu["camera"]) / bottom["total"],
        ratio_to_floor_with_camera=cpu["total"] / bottom["total"],
        rss_mib=rss,
    )


async def _run(
    flow: Flow, floor: Floor, seconds: float, progress: Callable[[float], None]
) -> tuple[Snapshot, Snapshot, list[float]]:
    """Run the flow; returns the counters after the warm-up and at the end, and memory between."""
    rss: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(flow.run())
        await asyncio.sleep(WARM_UP_S)
        before = _snapshot(flow, floor)
        for step in range(10):
            await asyncio.sleep(seconds / 10)
            rss.append(round(resident_mib(), 1))
            progress(seconds * (step + 1) / 10)
        after = _snapshot(flow, floor)
        running.cancel()
    return before, after, rss


def _discard(told: Released) -> None:
    """Stand for viewers: the benchmark measures up to the packet."""


def _cpu(before: Snapshot, after: Snapshot) -> dict[str, float]:
    frames = after.released - before.released
    spent = Counter({stage: ns - before.stages[stage] for stage, ns in after.stages.items()})
    total = after.process_ns - before.process_ns
    spent["loop and hand-over"] = total - spent.total()
    spent["total"] = total
    return {stage: ns / 1e6 / frames for stage, ns in spent.items()}
