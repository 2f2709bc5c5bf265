"""Opens the detectors of a pace, each held to a known face, and makes the planner that uses them."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import partial

from firmware.binding import bind_detectors, runnable
from firmware.config.drivers import DetectorOptions, OnnxOptions, TfliteOptions
from firmware.config.model import (
    LoadedModel,
    Manifest,
    ModelCache,
    choose_chain,
    load_manifests,
)
from firmware.config.portrait import portrait
from firmware.config.profile import LookProfile
from firmware.core.cuts import Sight
from firmware.core.frames import Kind
from firmware.drivers.registry import DETECTORS, load
from firmware.pipeline.known import KnownFace
from firmware.ports import Detector, OpensDetector
from firmware.redact.look import Eye
from firmware.redact.plan import Planner, as_live, thorough
from firmware.redact.views import VIEWS


async def live_planner(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
    """Open the live camera's own detectors; raises ModelMissing, WrongHash or DriverUnavailable."""
    bound = bind_detectors(_drivers(threads), LookProfile(chain=chain), cache)
    known = await _known(cache)
    return as_live([await _proven(stack, one.opens, one.finds, known) for one in bound.detectors])


async def thorough_planner(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
    """Open every model of the chain for every look; raises ModelMissing, WrongHash or DriverUnavailable."""
    manifests = load_manifests()
    chosen = choose_chain(cache, manifests, chain)
    more = [name for name in chosen.thorough if cache.has_model(manifests[name])]
    known = await _known(cache)
    names = (*chosen.live, *more)
    return thorough([await _eye(stack, cache, manifests[name], threads, known) for name in names])


async def _known(cache: ModelCache) -> KnownFace:
    return KnownFace(await asyncio.to_thread(portrait, cache))


async def _proven(
    stack: AsyncExitStack, opens: OpensDetector, finds: Collection[Kind], known: KnownFace
) -> Detector:
    detector = await stack.enter_async_context(opens())
    await asyncio.to_thread(known.require, detector, finds)
    return detector


async def _eye(
    stack: AsyncExitStack, cache: ModelCache, manifest: Manifest, threads: int, known: KnownFace
) -> Eye:
    options, artefact = runnable(manifest, _drivers(threads))
    size = (artefact.width, artefact.height)
    fixed = None if size[0] is None or size[1] is None else Sight(size[0], size[1])
    model = LoadedModel(manifest, partial(cache.read, manifest, artefact), fixed, manifest.many())
    opens = partial(load("detector", DETECTORS, options.driver).open_detector, options, model)
    detector = await _proven(stack, opens, manifest.finds.keys(), known)
    sure = {kind: found.sure for kind, found in manifest.finds.items()}
    person = manifest.finds.get(Kind.PERSON)
    return Eye(
        detector, VIEWS[manifest.looks], sure, person.headless.sure if person and person.headless else 0
    )


def _drivers(threads: int) -> tuple[DetectorOptions, ...]:
    return OnnxOptions(driver="onnx", threads=threads), TfliteOptions(driver="tflite", threads=threads)
