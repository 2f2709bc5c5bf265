"""Log lines as systemd's journal has them: a priority before each, or fields by its native protocol.

Both only where JOURNAL_STREAM names the very device and inode that standard error is (systemd.exec(5)): a
program that inherited the variable and writes elsewhere is not meant. The protocol is one datagram an entry
(systemd.io/JOURNAL_NATIVE_PROTOCOL). A field says what kind of line it is and where it comes from, never a
value: those are in the message alone, as they are on a terminal.
"""

import logging
import os
import socket
import uuid
from collections.abc import Mapping, Sequence

SOCKET = "/run/systemd/journal/socket"
LONGEST = 32 * 1024
"""Bytes of a message; longer ones are cut, so that each fits into a datagram."""
LONGEST_KIND = 500
KINDS = uuid.UUID("5e39bbc2-9a70-4a04-8de1-42c86d4a5a2b")
"""Names space of our MESSAGE_IDs: one kind of line has one, in every release that words it so."""
OURS = ("firmware", "ota")

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""From which level on a line has which priority (sd-daemon(3)); 7 below them."""


class Journal:
    """The journal of this machine; it never waits."""

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def told(self, record: logging.LogRecord, lines: Sequence[str]) -> str:
        """Hand an entry over; return what is left to write to standard error: nothing, or all of it."""
        try:
            self._socket.sendto(entry(record, "\n".join(lines)), self._address)
        except OSError:
            # journald is away, busy, or not reached from here: it reads standard error, too.
            return "".join(f"<{priority(record.levelno)}>{line}\n" for line in lines)
        return ""

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def journal_of(environ: Mapping[str, str], handle: int, address: str = SOCKET) -> Journal | None:
    """Return the journal if the file that `handle` is open on leads there; else None."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(handle)
    except OSError:
        return None
    return Journal(address) if (device, inode) == (str(found.st_dev), str(found.st_ino)) else None


def priority(level: int) -> int:
    """Return what syslog calls a level of Python's."""
    return next((told for least, told in PRIORITIES if level >= least), 7)


def entry(record: logging.LogRecord, message: str) -> bytes:
    """Return a record as one datagram."""
    fields = {
        "MESSAGE": message.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore"),
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": "veilcam",
        "VEILCAM_PART": record.name,
    }
    if record.name.partition(".")[0] in OURS:
        # Other packages' texts may hold values already; ours are held apart from them, by the linter.
        kind = str(record.msg)[:LONGEST_KIND]
        fields["VEILCAM_KIND"] = kind
        fields["MESSAGE_ID"] = uuid.uuid5(KINDS, f"{record.name}: {kind}").hex
    return b"".join(_field(name, value.encode("utf-8", "replace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
