"""The portrait of the built-in scene, which every detector must find: see models/astronaut.toml."""

import cv2
import numpy as np

from firmware.config.model import ModelCache, load_manifests
from firmware.core.frames import Plane
from firmware.errors import ModelError


def portrait(cache: ModelCache) -> Plane:
    """Read the portrait, BGR (512, 512, 3).

    Raises:
        ModelMissing: set-up has not brought it.
        WrongHash: the file is not what its manifest states.
        ModelError: it cannot be decoded.
    """
    manifest = load_manifests()["astronaut"]
    (artefact,) = manifest.artefacts.values()
    picture = cv2.imdecode(np.frombuffer(cache.read(manifest, artefact), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ModelError(f"{artefact.file}: not a picture; delete it and run scripts/fetch-models")
    return np.asarray(picture, np.uint8)
