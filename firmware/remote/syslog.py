"""An anchor of the record: syslog (RFC 5424) over TLS (RFC 5425), one connection that is held open.

Over TLS 1.3 a receiver that refuses us is noticed after the first write only. So a head counts as handed over
once the connection has stayed up for a moment after it, and whatever broke before is sent again.
"""

import asyncio
import datetime as dt
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from firmware.config.settings import Settings
from firmware.errors import ConfigError

PRIORITY = 13 * 8 + 6
"""Facility 13, log audit; severity 6, informational (RFC 5424, section 6.2.1)."""
SETTLED_S = 0.5
CONNECT_S = 10.0


class Syslog:
    """One receiver; `keep` connects where there is no connection."""

    def __init__(self, peer: str, authority: Path | None) -> None:
        host, _, port = peer.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._authority = authority
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def keep(self, head: str) -> None:
        """Send a head; raises OSError where the receiver is not reached or hangs up."""
        try:
            reader, writer = self._open or await self._connect()
            writer.write(framed(head))
            await writer.drain()
            await self._require_held(reader)
        except OSError:
            self.close()
            raise

    async def _require_held(self, reader: asyncio.StreamReader) -> None:
        """Wait for a moment: a receiver says nothing, and where it ends the connection it took nothing."""
        try:
            async with asyncio.timeout(SETTLED_S):
                await reader.read(1)
        except TimeoutError:
            return
        raise ConnectionResetError("the receiver hung up")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = await asyncio.to_thread(_context, self._authority)
        async with asyncio.timeout(CONNECT_S):
            self._open = await asyncio.open_connection(self._host, self._port, ssl=context)
        return self._open

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None


def framed(head: str) -> bytes:
    """Return a message with its length before it (RFC 5425, section 4.3), UTF-8."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host = socket.gethostname()[:255] or "-"
    message = f"<{PRIORITY}>1 {now} {host} veilcam {os.getpid()} audit-head - {head}".encode()
    return b"%d %s" % (len(message), message)


def syslog_of(settings: Callable[[], Settings]) -> Callable[[], Syslog | None]:
    """Return what gives the receiver that the settings name by now, one object while it is the same."""
    named: tuple[str | None, Path | None] = (None, None)
    held: Syslog | None = None

    def find() -> Syslog | None:
        nonlocal named, held
        now = settings()
        if (now.audit_syslog, now.audit_syslog_ca) != named:
            named = (now.audit_syslog, now.audit_syslog_ca)
            if held is not None:
                held.close()
            held = None if now.audit_syslog is None else Syslog(now.audit_syslog, now.audit_syslog_ca)
        return held

    return find


def check_authority(settings: Settings) -> None:
    """Raise ConfigError where the receiver's certificate could not be checked."""
    if settings.audit_syslog_ca is not None:
        try:
            _context(settings.audit_syslog_ca)
        except OSError as exc:
            raise ConfigError(f"settings: audit_syslog_ca: {exc.strerror or exc}; give a PEM file") from exc


def _context(authority: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
