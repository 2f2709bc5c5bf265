"""`veilcam models`: the model files this build uses, what of them is here, and how to bring the rest."""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from firmware.config.model import (
    Manifest,
    ModelCache,
    choose_chain,
    default_cache,
    load_chains,
    load_manifests,
    sha256_of,
)
from firmware.errors import DriverUnavailable, ModelMissing, UsageError, WrongHash
from firmware.provision.fetch import Fetch
from firmware.provision.selftest import RunsModel

_WHAT = "The model files this build uses, what of them is here, and how to bring the rest."


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = _WHAT
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "list", handle_list, "every model file and whether it is here")
    fetch = _action(
        actions, "fetch", handle_fetch, "bring what is missing; needs no network where nothing is"
    )
    fetch.add_argument("names", metavar="MODEL", nargs="*", help="default: all")
    fetch.add_argument("--all", action="store_true", help="also bring files only needed to convert others")
    _action(actions, "verify", handle_verify, "check the hash of every file that is here")


def _action(
    actions: "argparse._SubParsersAction[Any]", name: str, handler: Any, summary: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        help="default: VEILCAM_CACHE, else veilcam/models in the cache home",
    )
    parser.set_defaults(handler=handler)
    return parser


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file as it is listed."""

    model: str
    finds: str
    file: str
    bytes: int
    licence: str
    source: str
    here: bool
    path: str


def _rows(cache: ModelCache, manifests: Mapping[str, Manifest]) -> Iterator[ListedFile]:
    for manifest in manifests.values():
        for artefact in manifest.artefacts.values():
            yield ListedFile(
                manifest.name,
                ", ".join(manifest.finds) or "-",
                artefact.file,
                artefact.bytes,
                manifest.licence,
                artefact.source.kind,
                cache.has(artefact),
                str(cache.path(artefact)),
            )


def _chain(cache: ModelCache, manifests: Mapping[str, Manifest]) -> str | None:
    try:
        return choose_chain(cache, manifests).name
    except ModelMissing:
        return None


def handle_list(args: argparse.Namespace) -> int:
    """Print every model file, and the chain that the camera will run."""
    cache, manifests = ModelCache(args.cache or default_cache()), load_manifests()
    rows, chain = list(_rows(cache, manifests)), _chain(cache, manifests)
    if args.json:
        print(json.dumps({"cache": str(cache.root), "chain": chain, "files": [asdict(row) for row in rows]}))
        return 0
    names, files = max(len(row.model) for row in rows), max(len(row.file) for row in rows)
    for row in rows:
        here = "here   " if row.here else "MISSING"
        size = f"{row.bytes / 1e6:6.1f} MB"
        name = f"{row.model:<{names}}  {row.finds:<14}{row.file:<{files}}"
        print(f"{here}  {name}{size}  {row.source:<11}{row.licence}")
    print(_summary(chain))
    return 0


def _summary(chain: str | None) -> str:
    if chain is None:
        return "no chain is complete; run scripts/fetch-models"
    found = next(entry for entry in load_chains() if entry.name == chain)
    return f"chain {chain}: faces by {' and '.join(found.faces)}, people by {' and '.join(found.people)}"


def handle_fetch(args: argparse.Namespace) -> int:
    """Bring what is missing and say which chain the camera will run."""
    cache, manifests = ModelCache(args.cache or default_cache()), load_manifests()
    if unknown := sorted(set(args.names) - set(manifests)):
        raise UsageError(f"no model is called {unknown[0]!r}; choose from {', '.join(manifests)}")
    fetch = Fetch(cache, manifests, _run_once, inputs_too=args.all, ask_again=bool(args.names))
    outcome = fetch.fetch(args.names or manifests)
    if args.json:
        print(json.dumps({"cache": str(cache.root), **asdict(outcome)}))
        return 0
    for file, origin in outcome.placed.items():
        print(f"{file} ({origin})")
    print(_summary(outcome.chain))
    return 0


def _run_once(path: Path, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run a model with the onnx driver's runtime, which is loaded only where a self-test is due."""
    try:
        run: RunsModel = import_module("firmware.drivers.onnx_once").run_once
    except ModuleNotFoundError as exc:
        raise DriverUnavailable(f"the self-test needs the package {exc.name!r}; run scripts/setup") from exc
    return run(path, inputs)


def handle_verify(args: argparse.Namespace) -> int:
    """Check every file that is here.

    Raises:
        WrongHash: a file is not what its manifest states.
        ModelMissing: no chain is complete.
    """
    cache, manifests = ModelCache(args.cache or default_cache()), load_manifests()
    results = {row.file: _state(Path(row.path)) for row in _rows(cache, manifests)}
    if args.json:
        print(json.dumps({"cache": str(cache.root), "chain": _chain(cache, manifests), "files": results}))
    else:
        for file, state in results.items():
            print(f"{state:<8}{file}")
    if wrong := [file for file, state in results.items() if state == "wrong"]:
        raise WrongHash(
            f"{', '.join(wrong)} in {cache.root}: not what the manifest states; run scripts/fetch-models"
        )
    choose_chain(cache, manifests)
    return 0


def _state(path: Path) -> str:
    if not path.is_file():
        return "missing"
    return "good" if sha256_of(path) == path.name else "wrong"
