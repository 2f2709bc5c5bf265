"""The one file that touches what aiortc and aioice keep private; it refuses other versions of them.

Why each seam is needed: aioice gathers every address but loopback and asks everybody back; aiortc ignores
keyframe requests for tracks that yield packets; it has no public way to a transport's ICE connection, nor to
its DTLS role in an answer.
Every seam is set on one session's own objects: nothing global is replaced.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from aioice import Candidate, stun
from aioice.ice import Connection, StunProtocol, get_host_addresses
from aiortc import RTCDtlsTransport, RTCRtpSender, RTCRtpTransceiver
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import SessionDescription, candidate_from_sdp
from OpenSSL.SSL import Error as SSLError

from firmware.errors import DriverUnavailable
from firmware.stream.ice import IcePlan

PINNED: Final[Mapping[str, str]] = {"aiortc": "1.16.0", "aioice": "0.13.0"}

SIGNATURES: Final[Mapping[str, tuple[Callable[..., object], tuple[str, ...]]]] = {
    "Connection.get_component_candidates": (
        Connection.get_component_candidates,
        ("self", "component", "addresses", "timeout"),
    ),
    "Connection.add_remote_candidate": (Connection.add_remote_candidate, ("self", "remote_candidate")),
    "Connection.request_received": (Connection.request_received, ("self", "message", "addr", "protocol")),
    "get_host_addresses": (get_host_addresses, ("use_ipv4", "use_ipv6")),
    "RTCDtlsTransport._set_role": (RTCDtlsTransport._set_role, ("self", "role")),  # noqa: SLF001
    "RTCRtpSender._send_keyframe": (RTCRtpSender._send_keyframe, ("self",)),  # noqa: SLF001
    "RTCRtpTransceiver.setCodecPreferences": (RTCRtpTransceiver.setCodecPreferences, ("self", "codecs")),
}

NEGOTIATION_ERRORS: Final = (
    ValueError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    StopIteration,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
"""What aiortc's SDP parser and its negotiation let escape for an offer they cannot take."""

CLOSING_ERRORS: Final = (*NEGOTIATION_ERRORS, OSError, SSLError)
"""What a peer connection may raise while it is taken down in a half-open state."""

EXTENSIONS: Final = tuple(one.uri for one in RTCRtpSender.getCapabilities("video").headerExtensions)
"""Header extensions of video that aiortc sends."""

_REINSTALL = "; install " + " ".join(f"{name}=={pinned}" for name, pinned in PINNED.items())


def check_seams() -> None:
    """Make sure that the installed packages are those this file was written for.

    Raises:
        DriverUnavailable: a package is missing, has another version, or lacks a seam.
    """
    for package, pinned in PINNED.items():
        _require_version(package, pinned)
    for name, (function, expected) in SIGNATURES.items():
        found = tuple(inspect.signature(function).parameters)
        if found != expected:
            raise DriverUnavailable(f"{name} takes {found} and not {expected}{_REINSTALL}")


def keep_quiet() -> None:
    """Hold both packages' logs at warnings: below, they write ICE passwords and viewers' addresses."""
    for package in PINNED:
        logger = logging.getLogger(package)
        logger.setLevel(max(logger.level, logging.WARNING))


def _require_version(package: str, pinned: str) -> None:
    try:
        found = version(package)
    except PackageNotFoundError:
        raise DriverUnavailable(f"the stream needs the package {package}{_REINSTALL}") from None
    if found != pinned:
        raise DriverUnavailable(f"{package} {found} is installed, this release needs {pinned}{_REINSTALL}")


def _connection(transceiver: RTCRtpTransceiver) -> Connection:
    found = getattr(transceiver.sender.transport.transport.iceGatherer, "_connection", None)
    if not isinstance(found, Connection):
        raise DriverUnavailable(f"aiortc's ICE gatherer has no connection{_REINSTALL}")
    return found


class IceGuard:
    """Holds one session's ICE connection to its plan; counts what it refused."""

    def __init__(self, transceiver: RTCRtpTransceiver, plan: IcePlan) -> None:
        connection = _connection(transceiver)
        self._plan = plan
        self._bind = connection.get_component_candidates
        self._add = connection.add_remote_candidate
        self._request = connection.request_received
        self._own = frozenset(get_host_addresses(use_ipv4=True, use_ipv6=True))
        self.refused = 0
        # An instance's own attribute goes before its class's method, for aioice's calls too.
        vars(connection).update(
            get_component_candidates=self._bind_chosen,
            add_remote_candidate=self._add_admitted,
            request_received=self._answer_admitted,
        )

    async def _bind_chosen(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:  # noqa: ASYNC109 - aioice's signature
        return await self._bind(component, self._plan.choose(addresses), timeout)

    async def _add_admitted(self, remote_candidate: Candidate | None) -> None:
        # The end of candidates is not passed on: with the viewer's own ones refused or hidden (mDNS), aioice
        # would give up before the viewer's checks tell its address. The reaper ends what never connects.
        if remote_candidate is None:
            return
        if self._plan.admits(remote_candidate.host, remote_candidate.port, self._own):
            await self._add(remote_candidate)
        else:
            self.refused += 1

    def _answer_admitted(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        if self._plan.admits(addr[0], addr[1], self._own):
            self._request(message, addr, protocol)
        else:
            self.refused += 1


def on_keyframe_request(sender: RTCRtpSender, wanted: Callable[[], None]) -> None:
    """Call `wanted` at every PLI (RFC 4585) and FIR (RFC 5104) that the viewer sends."""
    vars(sender)["_send_keyframe"] = wanted


def await_handshake(transceiver: RTCRtpTransceiver) -> None:
    """Have the viewer begin the DTLS handshake (RFC 8842 section 5.3); call before the answer is made.

    As a client aiortc takes no RSA certificate, and GStreamer has no other; as a server it shows its own,
    which every WebRTC client takes (RFC 8827 section 6.5).
    """
    transceiver.sender.transport._set_role("server")  # noqa: SLF001


def prefer_h264(transceiver: RTCRtpTransceiver) -> None:
    """Let the answer take H.264 alone, constrained baseline first; call before the offer is applied.

    Level 3.1, which aiortc states, covers 1280x720 at 30 frames per second (H.264 table A-1).
    """
    codecs = [
        codec
        for codec in RTCRtpSender.getCapabilities("video").codecs
        if codec.mimeType in ("video/H264", "video/rtx")
    ]
    # Every browser has constrained baseline; plain baseline only looks like it.
    codecs.sort(key=lambda codec: codec.parameters.get("profile-level-id") != "42e01f")
    if not any(codec.mimeType == "video/H264" for codec in codecs):
        raise DriverUnavailable(f"this aiortc has no H.264{_REINSTALL}")
    transceiver.setCodecPreferences(codecs)


def require_parsable(offer: str) -> None:
    """Try aiortc's SDP parser outside a coroutine, where its StopIteration would come out as RuntimeError.

    Raises:
        ValueError: the parser cannot take the offer.
    """
    try:
        SessionDescription.parse(offer)
    except NEGOTIATION_ERRORS as exc:
        raise ValueError("the offer cannot be parsed") from exc


def parse_candidate(text: str) -> RTCIceCandidate:
    """Read what follows `a=candidate:` (RFC 8839 section 5.1); raises ValueError where it is not valid."""
    try:
        candidate = candidate_from_sdp(text)
    except (AssertionError, LookupError, ValueError) as exc:
        raise ValueError("malformed candidate") from exc
    if not 0 < candidate.port < 65536 or not 0 < candidate.component <= 256:
        raise ValueError("malformed candidate")
    return candidate
