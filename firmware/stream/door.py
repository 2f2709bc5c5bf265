"""Who may be connected: bounds in all and per address, and time limits until a request is complete.

Whoever connects and says nothing holds a descriptor that the camera needs for its models, its clip or a
viewer. Over a bound the greediest address gives way: of its connections the one that has kept us waiting for
longest. A connection whose request is being answered never does.
"""

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

MOST = 256
PER_ADDRESS = 64
"""A browser opens six connections to a name."""

SHARE = 4
"""What part of the process's descriptors connections may have; the rest is for media, models and files."""

ARRIVING_S = 10.0
"""Time from connecting to a complete head of a request; a TLS handshake is within it."""

IDLE_S = 30.0
"""Time from an answer to the complete head of the next request."""

SWEEP_S = 0.5


@dataclass(eq=False, slots=True)
class Caller:
    """One connection; `deadline` is when its next request must be here, None while one is answered."""

    address: str
    deadline: float | None
    _socket: socket.socket
    _transport: asyncio.BaseTransport | None = field(default=None, repr=False)

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport over which it is served from now on."""
        self._transport = transport

    def hang_up(self) -> None:
        """Cut the connection off, sending nothing more."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()
        else:
            # Not closed: a handshake may be under way on it, whose end closes it.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Hold it open for the length of the block: a request of its is being answered."""
        loop = asyncio.get_running_loop()
        self.deadline = None
        try:
            yield
        finally:
            self.deadline = loop.time() + IDLE_S


class Door:
    """The table of connections."""

    def __init__(self, most: int | None = None, per_address: int = PER_ADDRESS) -> None:
        self._most = allowed() if most is None else most
        self._per_address = min(per_address, self._most)
        self._inside: dict[Caller, None] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._inside)

    def admit(self, connection: socket.socket, address: str) -> Caller | None:
        """Let a new connection in, if need be in the place of another; None where it must go."""
        name, now = network_of(address), asyncio.get_running_loop().time()
        if not self._has_room(name):
            self.refused += 1
            return None
        caller = Caller(name, now + ARRIVING_S, connection)
        self._inside[caller] = None
        return caller

    def leave(self, caller: Caller) -> None:
        """Forget a connection that has ended."""
        self._inside.pop(caller, None)

    def _has_room(self, name: str) -> bool:
        held = Counter(caller.address for caller in self._inside)
        if held[name] >= self._per_address:
            return self._make_room(name)
        if len(self._inside) >= self._most:
            greediest, _ = held.most_common(1)[0]
            return self._make_room(greediest)
        return True

    def _make_room(self, name: str) -> bool:
        """Hang up on whoever of an address has kept us waiting for longest; False where all are answered."""
        waiting = (one for one in self._inside if one.address == name and one.deadline is not None)
        # The oldest: whoever means to ask something does so at once.
        oldest = next(waiting, None)
        if oldest is None:
            return False
        self._hang_up(oldest)
        return True

    def _hang_up(self, caller: Caller) -> None:
        self.leave(caller)
        self.refused += 1
        caller.hang_up()

    async def sweep(self) -> None:
        """Hang up on whoever is over time, for as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for caller in [c for c in self._inside if c.deadline is not None and c.deadline < now]:
                self._hang_up(caller)


def allowed() -> int:
    """Return how many connections may be open: a part of the descriptors that this process may have."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST
    return max(8, min(MOST, descriptors // SHARE))


def network_of(address: str) -> str:
    """Return an address as quotas count it: somebody with IPv6 has a whole /64 of them."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"{int(parsed) >> 64:x}::/64"
    return str(parsed)
