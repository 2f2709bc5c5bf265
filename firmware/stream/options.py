"""Settings of the stream server, checked when it starts."""

from dataclasses import dataclass
from pathlib import Path

CONTACT = "the person or company that put this camera here"


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Where to listen, whom to admit and what to say; times in seconds."""

    listen: str = "127.0.0.1:8080"
    """HOST:PORT, HOST an IP address or `localhost`; port 0 picks a free one."""
    ice_addresses: str = "all"
    """Which host addresses ICE offers: `all`, `loopback`, or IP addresses separated by commas."""
    max_viewers: int = 16
    connect_within_s: float = 15.0
    """A session that is not connected after this time is ended."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    host_names: tuple[str, ...] = ()
    """More names under which this camera is reached; any other Host header is refused on loopback."""
    origins: tuple[str, ...] = ()
    """More web origins whose pages may play the stream, such as `https://home.example`; `*` means any."""
    contact: str = CONTACT
    """Whom the public notice names for questions."""
