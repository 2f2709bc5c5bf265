"""Binds a board's names to back-ends: which camera, which detector for each model, which encoder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from firmware.config.drivers import CameraOptions, DetectorOptions, EncoderOptions, LampOptions
from firmware.config.model import (
    Artefact,
    InputSize,
    LoadedModel,
    Manifest,
    ModelCache,
    choose_chain,
    load_manifests,
)
from firmware.config.profile import LookProfile
from firmware.core.cuts import Sight, finest
from firmware.core.frames import Kind
from firmware.drivers.registry import CAMERAS, DETECTORS, ENCODERS, LAMPS, load
from firmware.errors import DriverUnavailable
from firmware.ports import Lamp, OpensCamera, OpensDetector, OpensEncoder


@dataclass(frozen=True, slots=True)
class BoundDetector:
    """One model on one driver: its name, what it finds, how to open it, and a title for people."""

    model: str
    finds: frozenset[Kind]
    opens: OpensDetector
    title: str
    sight: Sight
    smallest: Mapping[Kind, int]
    """Height in pixels of its input from which on it finds what it finds, as far as that was measured."""


@dataclass(frozen=True, slots=True)
class BoundDetectors:
    """The chain in use and its detectors."""

    chain: str
    detectors: tuple[BoundDetector, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Model, driver and size of every detector, for people."""
        return tuple(detector.title for detector in self.detectors)

    def smallest(self, kind: Kind, width: int, height: int) -> int | None:
        """Return the height from which on all of a kind are found in a picture of `width` x `height` pixels.

        As measured with the built-in scene's person; None where no detector was measured.
        """
        heights = [
            math.ceil(one.smallest[kind] / finest(width, height, one.sight))
            for one in self.detectors
            if kind in one.smallest
        ]
        return min(heights, default=None)


def bind_camera(options: CameraOptions) -> OpensCamera:
    """Return how to open the camera; raises DriverUnavailable."""
    module = load("camera", CAMERAS, options.driver)
    opens: OpensCamera = partial(module.open_camera, options)
    return opens


def bind_encoder(options: EncoderOptions) -> OpensEncoder:
    """Return how to open the encoder for width, height and frames per second; raises DriverUnavailable."""
    module = load("encoder", ENCODERS, options.driver)
    opens: OpensEncoder = partial(module.open_encoder, options)
    return opens


def bind_lamp(options: LampOptions | None) -> Lamp | None:
    """Return the opened lamp, put out; None where the board has none; raises DriverUnavailable."""
    if options is None:
        return None
    lamp: Lamp = load("lamp", LAMPS, options.driver).open_lamp(options)
    return lamp


def bind_detectors(
    drivers: Sequence[DetectorOptions], look: LookProfile, cache: ModelCache
) -> BoundDetectors:
    """Return how to open every detector of the chain for live pictures; files are verified here.

    Raises:
        ModelMissing: set-up has not brought the models.
        WrongHash: a model file is not what its manifest states.
        DriverUnavailable: no driver of the board runs one of the models.
    """
    manifests = load_manifests()
    # Named first, so that a board whose accelerator has no driver yet says that, not something about models.
    modules = {options.driver: load("detector", DETECTORS, options.driver) for options in drivers}
    chain = choose_chain(cache, manifests, look.chain)
    bound = []
    for name in chain.live:
        manifest = manifests[name]
        size = _live_size(manifest, look)
        options, artefact = runnable(manifest, drivers, size)
        read, *rest = [partial(cache.read, manifest, one) for one in segments(manifest, artefact)]
        for each in (read, *rest):
            each()  # a wrong file is told now, not when the camera has been opened
        sight = Sight(size.width, size.height, grows=artefact.width is None and options.driver not in FIXES)
        model = LoadedModel(manifest, read, sight, manifest.live(), tuple(rest))
        opens = partial(modules[options.driver].open_detector, options, model)
        title = f"{name} ({options.driver}, {size.width}x{size.height})"
        smallest = {kind: found.smallest for kind, found in manifest.finds.items() if found.smallest}
        bound.append(BoundDetector(name, frozenset(manifest.finds), opens, title, sight, smallest))
    return BoundDetectors(chain.name, tuple(bound))


def segments(manifest: Manifest, first: Artefact) -> list[Artefact]:
    """Return the files of a model that is in several, in the order they run."""
    after = [one for one in manifest.artefacts.values() if one.segment and one.runtime == first.runtime]
    return [first, *sorted(after, key=lambda one: one.segment)]


FIXES = frozenset({"tensorrt"})
"""Drivers that make a model for one size, whatever sizes its file takes."""

RUNS: Mapping[str, str] = {"tensorrt": "onnx"}
"""Drivers that run files made for another one."""


def _live_size(manifest: Manifest, look: LookProfile) -> InputSize:
    if manifest.realtime is None:
        raise DriverUnavailable(f"model {manifest.name} is not meant for live pictures; choose another chain")
    return manifest.realtime_small or manifest.realtime if look.size == "small" else manifest.realtime


def runnable(
    manifest: Manifest, drivers: Sequence[DetectorOptions], size: InputSize | None = None
) -> tuple[DetectorOptions, Artefact]:
    """Return the first of the drivers that has a file of this model, and the file.

    With `size` only a file that takes pictures of this size will do.

    Raises:
        DriverUnavailable: none of them has.
    """
    for options in drivers:
        for artefact in manifest.artefacts.values():
            made_for = (artefact.width, artefact.height)
            fits = size is None or made_for in {(None, None), (size.width, size.height)}
            takes = artefact.runtime == RUNS.get(options.driver, options.driver)
            if takes and fits and artefact.segment == 0:
                return options, artefact
    raise DriverUnavailable(
        f"model {manifest.name}: none of the board's detector drivers "
        f"({', '.join(options.driver for options in drivers)}) runs it; choose another chain or board"
    )
