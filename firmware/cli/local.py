"""Asks the camera on this machine: the one that runs on a state folder, or the folder itself."""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from firmware.config.profile import chosen_profile
from firmware.desk import open_desk
from firmware.errors import StateInUse, UsageError
from firmware.ports import SystemClock
from firmware.state import own
from firmware.stream.control import Asked, call, serve_control
from firmware.update.device import ANY_BOARD, Board

DEFAULT_STATE = Path("/var/lib/veilcam")


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says which camera."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=DEFAULT_STATE,
        help="state folder of the camera (default: %(default)s)",
    )


def ask(
    state: Path, method: str, path: str, body: dict[str, object] | None = None, board: Board = ANY_BOARD
) -> dict[str, object]:
    """Return the JSON object that the camera answers.

    Raises:
        UsageError: there is no such folder.
        CameraRefused: the camera said no; the text says why.
        OutputError: the camera does not answer, or the folder cannot be written.
    """
    return dict(json.loads(ask_text(state, method, path, body, board)))


def ask_text(
    state: Path, method: str, path: str, body: dict[str, object] | None = None, board: Board = ANY_BOARD
) -> str:
    """Return the body that the camera answers; raises as `ask`."""
    if not state.is_dir():
        raise UsageError(f"{state}: no such folder; name a camera's with --state, or run the camera once")
    return asyncio.run(_ask(state, Asked(method, path, body), board))


async def _ask(state: Path, asked: Asked, board: Board) -> str:
    async with AsyncExitStack() as parts:
        try:
            parts.enter_context(own(state))
        except StateInUse:
            return await call(state, asked)
        # A folder that no camera has run on yet gets the keys that it would get from one.
        keys = chosen_profile(None).keys
        desk = await open_desk(state, SystemClock(), board=board, keys=keys)
        await parts.enter_async_context(serve_control(state, desk.gate, desk.routes))
        return await call(state, asked)
