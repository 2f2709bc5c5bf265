"""Which of the host's addresses ICE offers, and which remote addresses it answers."""

import socket
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from firmware.errors import ConfigError

ENVIRONMENT = "VEILCAM_ICE_ADDRESSES"
LOOPBACK = "127.0.0.1"
BROADCAST = IPv4Address("255.255.255.255")
LOWEST_PORT = 1024
"""Below are services, not viewers."""

Address: TypeAlias = IPv4Address | IPv6Address


class Reach(Enum):
    """How far media may travel."""

    ALL = "all"
    """Every address of the host; loopback too for a viewer who came over loopback."""
    LOOPBACK = "loopback"
    """127.0.0.1 alone, and nobody else is answered."""
    LISTED = "list"
    """The addresses in the setting and no others."""


@dataclass(frozen=True, slots=True)
class IcePlan:
    """What one session offers and answers; `addresses` None means every address of the host."""

    addresses: tuple[str, ...] | None
    extra: tuple[str, ...] = ()
    """Offered besides `addresses`."""
    loopback_only: bool = False
    viewer: str = ""
    """Where the viewer's request came from."""

    def choose(self, host: list[str]) -> list[str]:
        """Return the addresses to bind, given those of the host."""
        own = host if self.addresses is None else list(self.addresses)
        return [*own, *(address for address in self.extra if address not in own)]

    def admits(self, remote: str, port: int, own: Container[str]) -> bool:
        """Say whether a remote address may be answered; `own` are this machine's addresses.

        Names are never looked up (`.local` would multicast): a viewer's own checks tell its address. A
        loopback address is answered only where loopback is offered, and an address of this machine only to
        who is on it, so that nobody can make the camera knock at its own ports; nor at services of others,
        which listen below port 1024. Directed broadcasts need no rule: the kernel sends none unasked.
        """
        address = _parse(remote)
        if address is None or port < LOWEST_PORT:
            return False
        if address.is_loopback:
            return any(is_loopback(own) for own in (*(self.addresses or ()), *self.extra))
        if str(address) in own and not (is_loopback(self.viewer) or self.viewer in own):
            return False
        nowhere = address.is_multicast or address.is_unspecified or address.is_link_local
        return not (self.loopback_only or nowhere or address == BROADCAST)


@dataclass(frozen=True, slots=True)
class IcePolicy:
    """The setting, read and checked."""

    reach: Reach
    addresses: tuple[str, ...] = ()

    def plan(self, viewer: str) -> IcePlan:
        """Return the plan for a viewer whose HTTP request came from the address `viewer`."""
        if self.reach is Reach.LOOPBACK:
            return IcePlan((LOOPBACK,), loopback_only=True, viewer=viewer)
        if self.reach is Reach.LISTED:
            alone = all(map(is_loopback, self.addresses))
            return IcePlan(self.addresses, loopback_only=alone, viewer=viewer)
        return IcePlan(None, extra=(LOOPBACK,) if is_loopback(viewer) else (), viewer=viewer)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_loopback(text: str) -> bool:
    """Say whether `text` is a loopback address; a name never is."""
    address = _parse(text)
    return address is not None and address.is_loopback


def read_policy(setting: str, environment: Mapping[str, str]) -> IcePolicy:
    """Read `all`, `loopback` or a list of addresses; the environment's word goes before the setting's.

    Raises:
        ConfigError: the text is none of these, or an address is not this machine's.
    """
    where, text = "settings: ice_addresses", setting
    if ENVIRONMENT in environment:
        where, text = ENVIRONMENT, environment[ENVIRONMENT]
    word = text.strip().lower()
    if word in (Reach.ALL.value, Reach.LOOPBACK.value):
        return IcePolicy(Reach(word))
    addresses = tuple(part.strip() for part in text.split(","))
    for address in addresses:
        _require_own(where, address)
    return IcePolicy(Reach.LISTED, addresses)


def _require_own(where: str, text: str) -> None:
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(
            f"{where}: {text!r} is not an IP address; write all, loopback, or addresses separated by commas"
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise ConfigError(
            f"{where}: {text} is not the address of one interface; write all to offer every one"
        )
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # Binding is the one test that says the same as gathering will.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))
    except OSError as exc:
        raise ConfigError(
            f"{where}: {text} is not an address of this machine ({exc.strerror or exc}); see: ip address"
        ) from None
