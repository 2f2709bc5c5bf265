"""Runs a tool of the board within a time; what it says is short text."""

import subprocess
from collections.abc import Sequence

from firmware.errors import UpdateError

WITHIN_S = 30.0


def told_by(command: Sequence[str], what_to_do: str) -> str:
    """Return what a tool prints; raises UpdateError, which says what to do, where it is missing or fails."""
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, errors="replace", timeout=WITHIN_S
        )
    except FileNotFoundError as exc:
        raise UpdateError(f"{command[0]} is not on this machine; {what_to_do}") from exc
    except (OSError, subprocess.SubprocessError) as exc:
        said = str(getattr(exc, "stderr", None) or exc).strip().splitlines()
        raise UpdateError(f"{' '.join(command)} failed: {said[-1] if said else exc}; {what_to_do}") from exc
    return done.stdout.strip()
