"""The network of the rig: a namespace with a tap for the emulated machine, and a DHCP server."""

import ctypes
import os
import subprocess
from pathlib import Path

HOST, CAMERA = "10.77.0.1", "10.77.0.2"
NAME = "broker.rig"
"""What the rig's name server knows."""
CLONE_NEWNET = 0x40000000


def enter(folder: Path) -> subprocess.Popen[bytes]:
    """Move this process into a network that ends at the machine, and serve it an address; returns the server.

    Raises:
        OSError: this user may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace; run hil as root")
    for command in (
        "link set lo up",
        "tuntap add dev veil0 mode tap",
        f"addr add {HOST}/24 dev veil0",
        "link set veil0 up",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=10)
    served = ["--interface=veil0", "--bind-interfaces", f"--dhcp-range={CAMERA},{CAMERA},12h"]
    served += ["--no-resolv", "--no-hosts", f"--host-record={NAME},{HOST}"]
    kept = [
        f"--dhcp-leasefile={folder / 'leases'}",
        f"--pid-file={folder / 'dnsmasq.pid'}",
        "--conf-file=/dev/null",
    ]
    return subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--user=root", *served, *kept],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
