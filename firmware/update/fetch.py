"""An update that is read from a server as if it were a file: in one pass, and on from where it broke off.

The server is believed nothing: what it sends is held against signatures by whoever reads. Here is held what
would waste time or disk: nothing but HTTPS (plain HTTP on loopback), no redirect, no content coding, never
two files spliced into one (the entity tag has to stay the same), a least rate, and so many attempts.
"""

import http.client
import re
import ssl
import time
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

from firmware.core.address import shown
from ota.errors import Code, UpdateRefused

CONNECT_S = 10.0
NEAR, PIECE = 1 << 20, 1 << 16
ATTEMPTS = 8
"""Times that a connection may break off without a byte in between."""
SLOWEST = 1024
PATIENCE_S = 30.0
"""Less than so many bytes a second, over so many seconds, is nobody who means to send an update."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class RemoteBundle:
    """A bundle at an address; `read` and `readinto` raise UpdateRefused (UNAVAILABLE)."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or (parts.scheme != "https" and not plain):
            raise UpdateRefused(Code.UNAVAILABLE, f"{shown(url)}: updates are fetched by https")
        self._name = shown(url)
        self._parts = parts
        self._context = context or ssl.create_default_context()
        self._connection: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._at = 0
        self._tag: str | None = None
        self._ended = False
        self._rate = Rate()

    def __enter__(self) -> Self:
        """Begin; nothing is asked before the first byte is wanted."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._hang_up()

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        room = memoryview(bytearray(size))
        return bytes(room[: self.readinto(room)])

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into the memory given; returns how much, 0 at the end."""
        if self._ended or not len(buffer):
            return 0
        why = ""
        for _ in range(ATTEMPTS):
            try:
                answer = self._answer or self._ask()
                got = answer.readinto(buffer)
            except (OSError, http.client.HTTPException) as exc:
                why = str(exc) or type(exc).__name__
                self._hang_up()
                continue
            if got:
                self._at += got
                self._rate.count(got, self._name)
                return got
            if answer.length in (None, 0):
                self._ended = True
                return 0
            why = "it ended early"
            self._hang_up()
        raise UpdateRefused(Code.UNAVAILABLE, f"{self._name} broke off {ATTEMPTS} times: {why}; try later")

    def seek(self, at: int, /) -> None:
        """Go on at so many bytes from the beginning; what lies close before is read and thrown away."""
        if at == self._at:
            return
        if self._answer is not None and 0 < at - self._at <= NEAR:
            while self._at < at and self.read(min(PIECE, at - self._at)):
                pass
            return
        self._hang_up()
        self._at, self._ended = at, False

    def _ask(self) -> http.client.HTTPResponse:
        """Ask for the rest; raises OSError, HTTPException where it can be tried again, else UpdateRefused."""
        self._connection = self._connect(self._parts)
        headers = {"Accept-Encoding": "identity"}
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
            if self._tag is not None:
                headers["If-Range"] = self._tag
        path = self._parts.path or "/"
        target = f"{path}?{self._parts.query}" if self._parts.query else path
        self._connection.request("GET", target, headers=headers)
        # Kept before it is checked, so that it is closed whatever is found.
        self._answer = self._connection.getresponse()
        return self._checked(self._answer)

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=self._context)

    def _checked(self, answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
        """Return an answer that goes on where we are; raises UpdateRefused for any other."""
        if answer.status >= 500:
            raise http.client.HTTPException(f"it answered {answer.status}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise self._refused("it encodes the update, which is not asked for")
        tag = answer.headers.get("ETag")
        if not self._at:
            if answer.status != 200:
                raise self._refused(f"it answered {answer.status} {answer.reason}")
            self._tag = tag if tag and not tag.startswith("W/") else None
            return answer
        stated = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        goes_on = answer.status == 206 and stated is not None and int(stated[1]) == self._at
        if not goes_on or (self._tag is not None and tag != self._tag):
            raise self._refused("it does not go on where it broke off, or has another file by now")
        return answer

    def _refused(self, why: str) -> UpdateRefused:
        return UpdateRefused(Code.UNAVAILABLE, f"{self._name}: {why}")

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
        if self._connection is not None:
            self._connection.close()
        self._answer = self._connection = None


class Rate:
    """Holds whoever sends to a least rate, counted while we wait for them."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._bytes = 0

    def count(self, size: int, name: str) -> None:
        """Count bytes; raises UpdateRefused (UNAVAILABLE) where they come too slowly."""
        self._bytes += size
        waited = time.monotonic() - self._since
        if waited >= PATIENCE_S:
            if self._bytes < SLOWEST * waited:
                raise UpdateRefused(Code.UNAVAILABLE, f"{name} sends less than {SLOWEST} bytes a second")
            self._since, self._bytes = time.monotonic(), 0
