"""Answers whoever is called in a network namespace where every address is this machine, and notes it.

Names lead to 127.0.0.1, and port 443 hears what is said there: a caller gets as far as it would in the world.
"""

import socket
import struct
import sys
import threading
from collections.abc import Callable

IP_PKTINFO = 8
"""Linux's; Python names it from 3.14 on."""

NOERROR, A = 0x8180, 1


def question(query: bytes) -> tuple[str, int, int]:
    """Return the name that is asked for, the kind of record, and where the question ends."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    (kind,) = struct.unpack_from("!H", query, at + 1)
    return ".".join(labels), kind, at + 5


def answer(query: bytes, kind: int, end: int) -> bytes:
    """Return 127.0.0.1 to a question for an IPv4 address, and nothing to any other."""
    found = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 1, 4) + socket.inet_aton("127.0.0.1")
    records = (found,) if kind == A else ()
    return query[:2] + struct.pack("!5H", NOERROR, 1, len(records), 0, 0) + query[12:end] + b"".join(records)


def hear_names(server: socket.socket, note: Callable[[str], None]) -> None:
    """Answer questions for names, from the address that each was sent to."""
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    while True:
        query, came_to, _, asker = server.recvmsg(512, 64)
        try:
            name, kind, end = question(query)
        except (IndexError, struct.error):
            note(f"port 53: {len(query)} bytes")
            continue
        note(f"name {name}")
        server.sendmsg([answer(query, kind, end)], came_to, 0, asker)


def hear_one(peer: socket.socket, note: Callable[[str], None]) -> None:
    """Note what a caller of port 443 says first."""
    with peer:
        peer.settimeout(5)
        try:
            note(f"port 443: {len(peer.recv(4096))} bytes")
        except OSError:
            note("port 443: silence")


def main() -> None:
    """Listen until killed; every line of standard output is something heard."""
    lock = threading.Lock()

    def note(line: str) -> None:
        with lock:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", 53))
    callers = socket.create_server(("0.0.0.0", 443))
    threading.Thread(target=hear_names, args=(names, note), daemon=True).start()
    note("ready")
    while True:
        peer, _ = callers.accept()
        threading.Thread(target=hear_one, args=(peer, note), daemon=True).start()


if __name__ == "__main__":
    main()
