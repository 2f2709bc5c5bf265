"""Opens the detectors of a pace and makes the planner that uses them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from firmware.binding import bind_detectors
from firmware.config.drivers import DetectorOptions, OnnxOptions, TfliteOptions
from firmware.config.model import (
    Artefact,
    LoadedModel,
    Manifest,
    ModelCache,
    choose_chain,
    load_chains,
    load_manifests,
)
from firmware.drivers.registry import DETECTORS, load
from firmware.pipeline.look import Eye, Views
from firmware.pipeline.offline import Planner, as_live, thorough
from firmware.pipeline.offline_views import (
    both_ways,
    close,
    far_and_near,
    landscape_only,
    upright_or_square,
    whole_and_sixths,
)


async def live_planner(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
    """Open the live camera's own detectors; raises ModelMissing, WrongHash or DriverUnavailable."""
    bound = bind_detectors(_drivers(threads), chain, cache)
    return as_live([await stack.enter_async_context(opener()) for group in bound.groups for opener in group])


async def thorough_planner(stack: AsyncExitStack, cache: ModelCache, chain: str, threads: int) -> Planner:
    """Open every model there is for every look; raises ModelMissing, WrongHash or DriverUnavailable.

    With `chain` "auto" the models of all chains look, as far as they are in the cache.
    """
    manifests = load_manifests()
    chosen = choose_chain(cache, manifests, chain)
    every = [chosen, *(c for c in load_chains() if chain == "auto" and cache.complete(c, manifests))]
    names = dict.fromkeys(name for c in every for name in (*c.faces, *c.people))
    eyes = [
        await _eye(stack, cache, manifests[name], artefact, threads, list(names))
        for name in names
        for artefact in manifests[name].artefacts.values()
        if artefact.runtime is not None
    ]
    return thorough(eyes)


async def _eye(
    stack: AsyncExitStack,
    cache: ModelCache,
    manifest: Manifest,
    artefact: Artefact,
    threads: int,
    company: Sequence[str],
) -> Eye:
    size = (artefact.width or 0, artefact.height or 0)
    score = manifest.thresholds.thorough if manifest.thresholds else 0.5
    model = LoadedModel(manifest, cache.open(manifest, artefact), *size, score)
    options = next(o for o in _drivers(threads) if o.driver == artefact.runtime)
    opener = load("detector", DETECTORS, options.driver).open_detector
    free = {"any_size": True} if artefact.width is None else {}
    detector = await stack.enter_async_context(opener(options, model, **free))
    return Eye(detector, _views(manifest, artefact, company))


def _views(manifest: Manifest, artefact: Artefact, company: Sequence[str]) -> Views:
    """Return which looks a model takes, given which models look besides."""
    if manifest.head == "yunet":
        return far_and_near
    if manifest.head == "centerface":
        return close if "yunet" in company else both_ways
    if manifest.head == "blazeface":
        return whole_and_sixths
    if (artefact.width, artefact.height) == (640, 384):
        return landscape_only
    return upright_or_square if artefact.width == artefact.height else _nothing


def _nothing(width: int, height: int) -> tuple[()]:
    """Take no look: the file's input is too small to add anything to those of the others."""
    return ()


def _drivers(threads: int) -> tuple[DetectorOptions, ...]:
    return OnnxOptions(driver="onnx", threads=threads), TfliteOptions(driver="tflite", threads=threads)
