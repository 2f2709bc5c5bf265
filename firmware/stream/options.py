"""What the stream server is told: the owner's settings, and what the command line adds."""

from collections.abc import Callable
from dataclasses import dataclass

from firmware.access.identity import TlsFiles
from firmware.config.settings import Settings


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Where to listen, as HOST:PORT (port 0 picks a free one), and what goes with it."""

    settings: Callable[[], Settings]
    """Gives what the owner has decided by now."""
    listen: str
    tls: TlsFiles | None = None
    """The device's own certificate, for when the owner has given none."""
    device: str = ""
    """Fingerprint of the device, for people to compare."""
    connect_within_s: float = 15.0
    """A session that is not connected after so many seconds is ended."""
