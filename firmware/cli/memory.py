"""Keeps what is in memory, unhidden frames among it, from other programs and from the disk."""

import ctypes
import os
import resource
from pathlib import Path

PR_SET_DUMPABLE = 4
"""prctl(2): also decides who may attach, and who may read /proc/PID/mem."""

SWAPS = Path("/proc/swaps")


def keep_private() -> None:
    """Forbid core dumps, and other processes of the same user to read this one's memory.

    Raises:
        OSError: the kernel refuses.
    """
    # A limit of 0 does not stop a core pattern that is a pipe; a process that is not dumpable has no core.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def swaps() -> list[str]:
    """Return the files and devices that memory may be written to, as the kernel names them."""
    try:
        lines = SWAPS.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return []
    return [line.split()[0] for line in lines if line.strip()]
