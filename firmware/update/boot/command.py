"""Runs a tool of the board within a time, what it says is short text; and has the machine restarted."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from firmware.errors import UpdateError
from firmware.state import written

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


def restart_machine(argument: str, reboot: Sequence[str] = ()) -> None:
    """Have the machine restarted, with an argument for its bootloader where there is one.

    A camera that systemd started has no right to; it asks, and veilcam-restart.service does it. Raises
    UpdateError, OutputError.
    """
    words = [argument] if argument else []
    if runtime := os.environ.get("RUNTIME_DIRECTORY", "") if not reboot else "":
        with written(Path(runtime) / "restart", private=True) as part:
            part.write_text(argument, encoding="ascii")
        return
    told_by([*(reboot or ("reboot",)), *words], "restart the machine by hand")
