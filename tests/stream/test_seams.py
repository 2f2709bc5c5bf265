"""aiortc's and aioice's private seams: each is there, each fires, and each loss is told."""

from collections.abc import Callable
from typing import Any

import pytest
from aioice import Candidate
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.rtp import RTCP_PSFB_FIR, RTCP_PSFB_PLI, RtcpPsfbPacket

from firmware.errors import DriverUnavailable
from firmware.stream import aiortc_seams
from firmware.stream.aiortc_seams import IceGuard, check_seams, on_keyframe_request, prefer_h264
from tests.stream.peer import LOOPBACK


def test_the_installed_packages_have_every_seam() -> None:
    check_seams()


@pytest.mark.parametrize("package", ["aiortc", "aioice"])
def test_another_version_is_refused(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_seams, "PINNED", {package: "0.0.1"})
    with pytest.raises(DriverUnavailable, match=rf"{package} .* needs 0\.0\.1; install"):
        check_seams()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_seams, "PINNED", {"no-such-package": "1"})
    with pytest.raises(DriverUnavailable, match="needs the package no-such-package"):
        check_seams()


@pytest.mark.parametrize("name", sorted(aiortc_seams.SIGNATURES))
def test_a_changed_seam_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(other: int) -> None: ...

    seams: dict[str, tuple[Callable[..., object], tuple[str, ...]]] = dict(aiortc_seams.SIGNATURES)
    seams[name] = (changed, seams[name][1])
    monkeypatch.setattr(aiortc_seams, "SIGNATURES", seams)
    with pytest.raises(DriverUnavailable, match=name.replace(".", r"\.")):
        check_seams()


def _peer() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def test_a_lost_connection_seam_is_told() -> None:
    peer = _peer()
    transceiver = peer.addTransceiver("video")
    kept = vars(transceiver.sender.transport.transport.iceGatherer).pop("_connection")
    with pytest.raises(DriverUnavailable, match="no connection"):
        IceGuard(transceiver, LOOPBACK)
    vars(transceiver.sender.transport.transport.iceGatherer)["_connection"] = kept
    await peer.close()


async def test_guard_binds_the_plan_and_refuses_the_rest() -> None:
    peer = _peer()
    transceiver = peer.addTransceiver("video")
    guard = IceGuard(transceiver, LOOPBACK)
    gatherer = transceiver.sender.transport.transport.iceGatherer
    await gatherer.gather()
    assert [candidate.ip for candidate in gatherer.getLocalCandidates()] == ["127.0.0.1"]
    connection: Any = gatherer._connection
    for host in ("192.0.2.1", "1234.local", "2001:db8::1"):
        await connection.add_remote_candidate(Candidate.from_sdp(f"1 1 udp 1 {host} 5009 typ host"))
    assert guard.refused == 3
    assert connection.remote_candidates == []
    answered: list[object] = []
    guard._request = lambda *seen: answered.append(seen)
    connection.request_received(None, ("192.0.2.1", 5005), None)
    assert (guard.refused, answered) == (4, [])
    connection.request_received(None, ("127.0.0.1", 5005), None)
    assert len(answered) == 1
    await connection.add_remote_candidate(Candidate.from_sdp("1 1 udp 1 127.0.0.1 5009 typ host"))
    assert len(connection.remote_candidates) == 1
    await peer.close()


@pytest.mark.parametrize("kind", [RTCP_PSFB_PLI, RTCP_PSFB_FIR])
async def test_pli_and_fir_reach_us_through_aiortc(kind: int) -> None:
    peer = _peer()
    sender = peer.addTransceiver("video").sender
    asked: list[int] = []
    on_keyframe_request(sender, lambda: asked.append(kind))
    await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt=kind, ssrc=1, media_ssrc=2))
    assert asked == [kind]
    await peer.close()


async def test_h264_constrained_baseline_is_the_first_offer() -> None:
    peer = _peer()
    transceiver = peer.addTransceiver("video")
    prefer_h264(transceiver)
    offer = (await peer.createOffer()).sdp
    assert "VP8" not in offer
    first = next(line for line in offer.splitlines() if line.startswith("a=fmtp:"))
    assert "profile-level-id=42e01f" in first
    assert "packetization-mode=1" in first
    await peer.close()


async def test_an_aiortc_without_h264_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = _peer()
    transceiver = peer.addTransceiver("video")
    empty = type(RTCRtpSender.getCapabilities("video"))(codecs=[])
    monkeypatch.setattr(RTCRtpSender, "getCapabilities", lambda kind: empty)
    with pytest.raises(DriverUnavailable, match=r"no H\.264"):
        prefer_h264(transceiver)
    await peer.close()
