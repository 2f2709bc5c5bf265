"""`veilcam doctor`: what this machine has and lacks."""

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from firmware.binding import bind_detectors
from firmware.cli.boards import lacks
from firmware.cli.run import chosen_profile
from firmware.config.model import ModelCache, default_cache, load_chains, load_manifests
from firmware.config.profile import Profile
from firmware.errors import VeilcamError

PACKAGES = ("numpy", "opencv-python-headless", "av", "aiortc", "onnxruntime", "ai-edge-litert", "linuxpy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, and what was seen or what to do."""

    ok: bool
    what: str
    detail: str


def add(verbs: "argparse._SubParsersAction[Any]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "doctor",
        help="what this machine has and lacks",
        description="Says what this machine has and lacks; exit status 1 if it lacks anything.",
    )
    parser.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Print every finding; exit status 1 if anything is not well."""
    profile = chosen_profile(args.board)
    findings = list(examine(profile))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'LACK'}  {finding.what:<12}{finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(profile: Profile) -> Iterator[Finding]:
    """Look at Python, packages, board, drivers and models."""
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding(fits, "python", f"{platform.python_version()} on {platform.machine()}")
    for package in PACKAGES:
        yield _package(package)
    yield Finding(True, "board", f"{profile.name}: {profile.title}")
    missing = lacks(profile)
    for line in missing:
        yield Finding(False, "driver", line)
    if not missing:
        yield _models(profile)


def _package(name: str) -> Finding:
    try:
        return Finding(True, "package", f"{name} {version(name)}")
    except PackageNotFoundError:
        return Finding(False, "package", f"{name} is missing; run scripts/setup")


def _models(profile: Profile) -> Finding:
    cache = ModelCache(default_cache())
    try:
        bound = bind_detectors(profile.detectors, profile.look, cache)
    except VeilcamError as exc:
        return Finding(False, "models", str(exc))
    best, manifests = load_chains()[0], load_manifests()
    more = (
        ""
        if bound.chain == best.name
        else f"; {_why_not(cache, best.faces[0], manifests[best.faces[0]].title)}"
    )
    return Finding(True, "models", f"chain {bound.chain}: {', '.join(bound.names)}{more}")


def _why_not(cache: ModelCache, name: str, title: str) -> str:
    return f"the better {name} ({title}) is not in {cache.root}: veilcam models fetch {name}"
