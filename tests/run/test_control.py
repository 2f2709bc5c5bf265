"""C17: another user of the machine can ask the camera for nothing by its own socket."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from firmware.desk import open_desk
from firmware.ports import SystemClock
from firmware.state import own
from firmware.stream.control import serve_control

CODE = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


async def asked(state: Path) -> dict[int, bytes]:
    """What root and somebody else are told when they connect."""
    desk = await open_desk(state, SystemClock())
    told = {}
    async with serve_control(state, desk.gate, desk.routes):
        path = state / "control.sock"
        for user in (0, 65534):
            words = ["setpriv", f"--reuid={user}", "--clear-groups", sys.executable, "-c", CODE, str(path)]
            process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
            told[user] = (await process.communicate())[1]
    return told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_not_let_in(tmp_path: Path) -> None:
    for above in (tmp_path, *tmp_path.parents):
        # What pytest keeps is its user's alone; only the state folder is to keep others out.
        if above != Path("/"):
            above.chmod(above.stat().st_mode | 0o005)
    with own(tmp_path / "state") as state:
        told = asyncio.run(asked(state))
    assert told[0] == b""
    assert b"PermissionError" in told[65534]
