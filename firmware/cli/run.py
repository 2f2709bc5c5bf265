"""`veilcam run`: runs the camera."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import segno

from firmware.app import Ready, RunOptions, run_camera
from firmware.cli.journal import journal_of
from firmware.cli.local import DEFAULT_STATE
from firmware.cli.rationed import Rationed
from firmware.config.model import ModelCache, default_cache
from firmware.config.profile import camera_from_uri, chosen_profile
from firmware.config.settings import load_settings

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
    )
    asyncio.run(run_camera(options, announce))
    return 0


def announce(ready: Ready) -> None:
    """Print the address; on standard error what looks for people, and the claim code once."""
    print(f"ready {ready.served.url}", flush=True)
    chain, names = ready.detectors.chain, ", ".join(ready.detectors.names)
    print(f"veilcam: looking with chain {chain!r}: {names}", file=sys.stderr)
    if ready.claim_code is not None:
        print(f"veilcam: claim code, shown this once: {ready.claim_code}", file=sys.stderr)
        segno.make(ready.claim_code, error="m", micro=False).terminal(out=sys.stderr, compact=True, border=2)
