"""Settings that could cut a camera off are on probation: confirmed in time, or as before again.

    change ─▶ on probation ─confirmed─▶ hold
                  ╰─ not in time, or a start that was not confirmed ─▶ what held before holds again

The file beside the settings says which revision is on probation, what held before, and how many starts were
made with it. It is written before the settings are: where a power cut comes between, it is of a revision that
never came, and nobody's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware.config.settings import RESTART
from firmware.core.strict_json import NotStrict, read_json
from firmware.state import written

NAME = "probation.json"
LONGEST = 64 * 1024

CUTTING = RESTART | {"mqtt", "mqtt_ca", "trusted_proxies"}
"""Keys by which whoever changes them can lose the camera."""


@dataclass(frozen=True, slots=True)
class Probation:
    """A revision that is on probation: what held before it, and how many starts were made with it."""

    revision: int
    before: Mapping[str, object]
    starts: int = 0


def read_probation(folder: Path) -> Probation | None:
    """Return what is on probation; a damaged file is of no revision. Raises OSError."""
    try:
        told = read_json((folder / NAME).read_bytes(), LONGEST)
        revision, before, starts = told["revision"], told["before"], told["starts"]
    except (FileNotFoundError, NotStrict, KeyError):
        return None
    if type(revision) is not int or type(starts) is not int or not isinstance(before, dict):
        return None
    return Probation(revision, before, starts)


def write_probation(folder: Path, probation: Probation) -> None:
    """Keep it; raises OutputError."""
    told = {
        "revision": probation.revision,
        "before": dict(probation.before),
        "starts": probation.starts,
    }
    with written(folder / NAME, private=True) as part:
        part.write_text(json.dumps(told), encoding="utf-8")


def end_probation(folder: Path) -> None:
    """Forget it, however it ended; raises OSError."""
    (folder / NAME).unlink(missing_ok=True)
