"""Measures the pipeline on the built-in scene or a clip, beside its floor, in one run."""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware.binding import bind_camera, bind_detectors, bind_encoder
from firmware.config.drivers import CameraOptions
from firmware.config.model import ModelCache
from firmware.config.profile import Profile
from firmware.core.frames import Packet, Redacted
from firmware.core.policy import PEOPLE
from firmware.errors import UsageError, VeilcamError, first_error
from firmware.pipeline.detect import LookOptions
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.floor import Floor
from firmware.pipeline.flow import Flow
from firmware.ports import SystemClock

WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters at one moment; CPU in nanoseconds."""

    wall_ns: int
    process_ns: int
    released: int
    looks: int
    capture_ns: int
    detect_ns: int
    mask_ns: int
    encode_ns: int


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


def _snapshot(flow: Flow) -> Snapshot:
    measure = flow.measure
    return Snapshot(
        time.monotonic_ns(),
        time.process_time_ns(),
        measure.released,
        flow.detect.looks,
        flow.capture_worker.cpu_ns,
        sum(worker.cpu_ns for worker in flow.detect.workers),
        measure.mask_cpu_ns,
        measure.encode_cpu_ns,
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
        encoder = floor.tap_encoder(opens_encoder(info.width, info.height, info.fps))
        parts.callback(encoder.close)
        look = LookOptions(rate_hz=profile.look.rate_hz, deadline_s=profile.look.deadline_s)
        groups = [[floor.tap_detector(opens) for opens in group] for group in detectors.groups]
        flow = Flow(camera, groups, RedactedRendition(encoder), _discard, PEOPLE, look, SystemClock())
        await parts.enter_async_context(flow)
        try:
            before, after, rss = await _run(flow, seconds, progress)
        except* VeilcamError as group:
            raise first_error(group) from None
    frames, looks = after.released - before.released, after.looks - before.looks
    if not frames or not looks:
        raise UsageError(
            f"bench: {frames} frames and {looks} looks in {seconds:g} s are too few; give more --seconds, "
            "or see: veilcam doctor"
        )
    async with AsyncExitStack() as parts:
        openers = [opens for group in detectors.groups for opens in group]
        opened = [await parts.enter_async_context(opens()) for opens in openers]
        await asyncio.to_thread(floor.looks_ms, opened, 3)  # first calls allocate
        looks_ms = await asyncio.to_thread(floor.looks_ms, opened, looks)
        alone = opens_encoder(info.width, info.height, info.fps)
        encode_ms = await asyncio.to_thread(floor.encode_ms, alone, frames, info.fps)
    cpu = _cpu(before, after)
    bottom = {"detect": looks_ms / frames, "encode": encode_ms / frames}
    bottom["total"] = sum(bottom.values())
    span = (after.wall_ns - before.wall_ns) / 1e9
    return PipelineReport(
        seconds=span,
        width=info.width,
        height=info.height,
        chain=detectors.chain,
        detectors=detectors.names,
        released_fps=frames / span,
        looks_per_s=looks / span,
        latency_p50_ms=flow.measure.latency_ms(0.5),
        latency_p95_ms=flow.measure.latency_ms(0.95),
        verdicts={str(verdict): count for verdict, count in flow.measure.verdicts.items()},
        dropped={"detect": flow.detect.frames.dropped, "release": flow.frames.dropped},
        cpu_ms_per_frame=cpu,
        floor_ms_per_frame=bottom,
        ratio_to_floor=(cpu["total"] - cpu["camera"]) / bottom["total"],
        ratio_to_floor_with_camera=cpu["total"] / bottom["total"],
        rss_mib=rss,
    )


async def _run(
    flow: Flow, seconds: float, progress: Callable[[float], None]
) -> tuple[Snapshot, Snapshot, list[float]]:
    """Run the flow's stages; returns the counters after the warm-up and at the end, and memory between."""
    rss: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        stages = [tasks.create_task(stage) for stage in flow.stages()]
        await asyncio.sleep(WARM_UP_S)
        before = _snapshot(flow)
        for step in range(10):
            await asyncio.sleep(seconds / 10)
            rss.append(round(resident_mib(), 1))
            progress(seconds * (step + 1) / 10)
        after = _snapshot(flow)
        for stage in stages:
            stage.cancel()
    return before, after, rss


def _discard(packet: Packet[Redacted]) -> None:
    """Stand for viewers: the benchmark measures up to the packet."""


def _cpu(before: Snapshot, after: Snapshot) -> dict[str, float]:
    frames = after.released - before.released
    spent: Counter[str] = Counter(
        camera=after.capture_ns - before.capture_ns,
        detect=after.detect_ns - before.detect_ns,
        mask=after.mask_ns - before.mask_ns,
        encode=after.encode_ns - before.encode_ns,
    )
    total = after.process_ns - before.process_ns
    spent["loop and hand-over"] = total - spent.total()
    spent["total"] = total
    return {stage: ns / 1e6 / frames for stage, ns in spent.items()}
