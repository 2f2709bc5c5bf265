"""`veilcam run`: runs the camera."""

import argparse
import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TextIO

import segno

from firmware.app import Ready, RunOptions, run_camera
from firmware.cli.journal import journal_of
from firmware.cli.local import DEFAULT_STATE
from firmware.cli.rationed import Rationed
from firmware.config.model import ModelCache, default_cache
from firmware.config.profile import camera_from_uri, chosen_profile
from firmware.config.settings import load_settings
from firmware.state import written

DEFAULT_LISTEN = "127.0.0.1:8080"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Runs the camera until it is stopped. The first line on standard output once it serves "
        "is: ready ADDRESS."
    )
    parser.add_argument(
        "--board", metavar="NAME|FILE", help="board profile (default: this machine's, else laptop)"
    )
    parser.add_argument(
        "--source",
        metavar="URI",
        help="scene:, a clip, v4l2:/dev/video0 or rtsp://... (default: the board's camera)",
    )
    parser.add_argument(
        "--settings",
        metavar="FILE",
        type=Path,
        help="settings of a camera that has none yet, TOML; see veilcam settings",
    )
    parser.add_argument(
        "--state", metavar="DIR", type=Path, default=DEFAULT_STATE, help="default: %(default)s"
    )
    parser.add_argument(
        "--claim-code",
        metavar="FILE",
        type=Path,
        help="put the claim code there, for whoever shows it, and a new one at each start until it was used "
        "(default: standard error, once)",
    )
    parser.add_argument("--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN, help="default: %(default)s")
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Run until stopped; exit status 0 if that was asked for."""
    log = Rationed(journal=journal_of(os.environ, sys.stderr.fileno()))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[log])
    profile = chosen_profile(args.board)
    options = RunOptions(
        profile=profile,
        camera=camera_from_uri(args.source) if args.source else profile.camera,
        first=None if args.settings is None else load_settings(args.settings),
        cache=ModelCache(default_cache()),
        state=args.state,
        listen=args.listen,
        claim_anew=args.claim_code is not None,
    )
    asyncio.run(run_camera(options, partial(announce, shown=args.claim_code)))
    return 0


def announce(ready: Ready, shown: Path | None = None) -> None:
    """Print the address; on standard error what looks for people and the claim code, or that to `shown`."""
    print(f"ready {ready.served.url}", flush=True)
    chain, names = ready.detectors.chain, ", ".join(ready.detectors.names)
    print(f"veilcam: looking with chain {chain!r}: {names}", file=sys.stderr)
    if ready.claim_code is None:
        return
    if shown is None:
        print(f"veilcam: claim code, shown this once: {ready.claim_code}", file=sys.stderr)
        _draw(ready.claim_code, sys.stderr)
        return
    # A service's standard error is a log, and the code is for whoever stands at the camera alone.
    with written(shown, private=True) as part, part.open("w", encoding="utf-8") as file:
        reached = ready.served.reached() or [f"https://(the camera's address):{ready.served.port}"]
        print(*(f"{url}/claim" for url in reached), f"claim code: {ready.claim_code}", sep="\n", file=file)
        _draw(ready.claim_code, file)


def _draw(code: str, out: TextIO) -> None:
    segno.make(code, error="m", micro=False).terminal(out=out, compact=True, border=2)
