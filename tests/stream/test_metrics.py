"""A scrape, read by the library's own parsers: every metric has a help text, and what it says is what is."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

from firmware.audit import EMPTY
from firmware.config.settings import Settings
from firmware.core.frames import Verdict
from firmware.desk import Desk, open_desk
from firmware.fanout import FanoutCounters
from firmware.ports import SystemClock
from firmware.remote.enrolment import Enrolment
from firmware.status import BrokerVitals, Vitals
from firmware.stream.metrics import Measured, Watching, exposed
from tests.remote.pki import Authority
from tests.stream.rig import STEADY, rig

WATCHING = Watching(3, 1, 2, FanoutCounters(3, 1000, 7, 5))
NAMES_SINCE_THE_FIRST = {
    "veilcam_up",
    "veilcam_uptime_seconds",
    "veilcam_detector_restarts_total",
    "veilcam_released_fps",
    "veilcam_verdict",
    "veilcam_capture_to_packet_seconds",
    "veilcam_frames_released_total",
    "veilcam_frames_dropped_total",
    "veilcam_sessions",
    "veilcam_raw_sessions",
    "veilcam_sessions_reaped_total",
    "veilcam_viewers",
    "veilcam_packets_published_total",
    "veilcam_packets_dropped_total",
    "veilcam_keyframes_requested_total",
}


def read(text: str) -> dict[str, Metric]:
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def samples(families: dict[str, Metric]) -> dict[tuple[str, str], float]:
    """Values by name and the one label that a metric has."""
    return {
        (one.name, next(iter(one.labels.values()), "")): one.value
        for family in families.values()
        for one in family.samples
    }


async def vitals_of(folder: Path) -> Vitals:
    """The vitals of a real state folder: a record that was begun, a certificate, no broker."""
    desk = await open_desk(folder, SystemClock())
    return await asyncio.to_thread(enrolled, folder, desk)


def enrolled(folder: Path, desk: Desk) -> Vitals:
    """Have a certificate made for it, then take its vitals."""
    enrolment = Enrolment(folder, desk.remote.device, SystemClock())
    key = x509.load_pem_x509_csr(enrolment.request().encode()).public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    enrolment.install(Authority(folder / "pki").sign(desk.remote.device, key))
    return desk.vitals()


async def test_the_library_reads_what_the_camera_says(tmp_path: Path) -> None:
    vitals = await vitals_of(tmp_path)
    body, content_type = exposed(Measured(STEADY, WATCHING, vitals), "")
    assert content_type.startswith("text/plain; version=0.0.4")
    families = read(body.decode())
    found = samples(families)
    assert {name for name, _ in found} >= NAMES_SINCE_THE_FIRST
    assert all(name.startswith("veilcam_") for name, _ in found), "nothing of the library's own"
    assert all(family.documentation.endswith(".") for family in families.values())
    assert found["veilcam_frames_released_total", "predicted"] == 80
    assert found["veilcam_capture_to_packet_seconds", "0.95"] == 0.063
    assert found["veilcam_verdict", "verified"] == 1
    assert found["veilcam_verdict", "blind"] == 0
    assert found["veilcam_broker_named", ""] == found["veilcam_broker_up", ""] == 0
    assert found["veilcam_audit_entries_total", ""] == 1
    assert ("veilcam_audit_unanchored_entries", "") not in found
    assert found["veilcam_update_phase", "idle"] == 1
    assert found["veilcam_update_security_counter", ""] == 0
    assert found["veilcam_broker_certificate_expiry_seconds", ""] == vitals.certificate_ends_s
    assert 0 < found["veilcam_storage_free_bytes", ""] <= found["veilcam_storage_size_bytes", ""]


async def test_openmetrics_is_given_to_whoever_asks_for_it_and_says_the_same(tmp_path: Path) -> None:
    measured = Measured(STEADY, WATCHING, await vitals_of(tmp_path))
    asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    body, content_type = exposed(measured, asked)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    text = body.decode()
    assert text.endswith("# EOF\n")
    strict = {one.name: one for one in openmetrics_parser.text_string_to_metric_families(text)}
    assert samples(strict) == samples(read(exposed(measured, "")[0].decode()))


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain; version=x.y",
        "application/openmetrics-text; version=",
        "application/openmetrics-text; version=1.0.x",
        "é",
    ],
)
def test_whatever_is_asked_for_is_answered(accept: str) -> None:
    body, _ = exposed(Measured(STEADY, WATCHING, Vitals()), accept)
    assert b"veilcam_up 1.0" in body


def test_what_is_not_known_is_not_said() -> None:
    status = replace(STEADY, latency_p50_ms=None, latency_p95_ms=None, verdict=Verdict.BLIND)
    found = samples(read(exposed(Measured(status, WATCHING, Vitals()), "")[0].decode()))
    assert {name for name, _ in found} == NAMES_SINCE_THE_FIRST - {"veilcam_capture_to_packet_seconds"}


def test_a_label_cannot_break_out_of_its_line() -> None:
    status = replace(STEADY, dropped={'a"b\\c\nd': 4})
    found = samples(read(exposed(Measured(status, WATCHING, Vitals()), "")[0].decode()))
    assert found["veilcam_frames_dropped_total", 'a"b\\c\nd'] == 4


async def test_a_damaged_record_of_updates_hides_no_other_metric(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path, SystemClock())
    await asyncio.to_thread((tmp_path / "update").mkdir, exist_ok=True)
    (tmp_path / "update" / "record.0").write_bytes(b"?")
    vitals = await asyncio.to_thread(desk.vitals)
    assert vitals.update is None
    assert vitals.audit_entries == 1


async def test_a_broker_is_told_as_whoever_keeps_the_connection_says(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path, SystemClock(), Settings(mqtt="broker.example:8883"))
    desk.remote.connection = lambda: {"up": True, "why": "", "connections": 4, "waiting": 3, "refused": 2}
    desk.audit.kept = EMPTY
    vitals = await asyncio.to_thread(desk.vitals)
    assert vitals.broker == BrokerVitals(named=True, up=True, connections=4, waiting=3, refused=2)
    found = samples(read(exposed(Measured(STEADY, WATCHING, vitals), "")[0].decode()))
    assert found["veilcam_broker_connections_total", ""] == 4
    assert found["veilcam_broker_waiting_messages", ""] == 3
    assert found["veilcam_broker_refused_messages_total", ""] == 2
    assert found["veilcam_audit_unanchored_entries", ""] == 1


async def test_over_http_the_accept_header_decides() -> None:
    async with rig() as r, ClientSession() as http:
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with http.get(f"{r.url}/metrics", headers=headers) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await answer.text()).endswith("# EOF\n")


WATCHED = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
import prometheus_client.exposition, prometheus_client.registry, prometheus_client.core
for event, args in seen:
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.mkdir", "os.remove")):
        print(event, args)
    if event == "open" and (isinstance(args[1], str) and set(args[1]) & set("wax+")):
        print(event, args)
"""


def test_the_library_calls_nobody_and_writes_nothing_when_it_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
