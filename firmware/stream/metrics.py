"""What the camera measures, as Prometheus and OpenMetrics have it; numbers and states, nobody's name.

Each scrape has a registry of its own with one collector: the library's default registry adds this process's
memory and versions, which nobody asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from firmware.core.frames import Verdict
from firmware.fanout import FanoutCounters
from firmware.status import BrokerVitals, CameraStatus, UpdateVitals, Vitals


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches at this moment, and what has been sent."""

    sessions: int
    raw_sessions: int
    reaped: int
    counters: FanoutCounters


# The registry keeps collectors by identity.
@dataclass(frozen=True, slots=True, eq=False)
class Measured(Collector):
    """One look at everything; the library asks it for its metrics."""

    status: CameraStatus
    watching: Watching
    vitals: Vitals

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of this look."""
        yield from _camera(self.status)
        yield from _stream(self.watching)
        yield from _vitals(self.vitals)


def exposed(measured: Measured, accept: str) -> tuple[bytes, str]:
    """Return a scrape and its content type, in the format that an Accept header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(measured)
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except (TypeError, ValueError):
        # A version that is no number; the library does not check what it is asked for.
        encode, content_type = choose_encoder("")
        return encode(registry), content_type


def _camera(status: CameraStatus) -> Iterator[Metric]:
    yield _gauge(
        "veilcam_up", "1 while frames are released, 0 once none was for five seconds.", not status.failed
    )
    yield _gauge("veilcam_uptime_seconds", "Time since the camera started.", status.uptime_s)
    yield _counter("veilcam_detector_restarts_total", "Detectors started anew.", status.detector_restarts)
    yield _gauge("veilcam_released_fps", "Frames released per second, lately.", status.released_fps)
    verdicts = {verdict.value: status.verdict is verdict for verdict in Verdict}
    yield _gauges("veilcam_verdict", "1 for the verdict of the frame released last.", "verdict", verdicts)
    latency = {"0.5": status.latency_p50_ms, "0.95": status.latency_p95_ms}
    known = {quantile: ms / 1000 for quantile, ms in latency.items() if ms is not None}
    yield _gauges("veilcam_capture_to_packet_seconds", "From capture to encoded packet.", "quantile", known)
    released = {verdict.value: count for verdict, count in status.released.items()}
    yield _counters("veilcam_frames_released_total", "Frames released, by verdict.", "verdict", released)
    yield _counters("veilcam_frames_dropped_total", "Frames dropped, by stage.", "stage", status.dropped)


def _stream(now: Watching) -> Iterator[Metric]:
    sent = now.counters
    yield _gauge("veilcam_sessions", "Sessions of the redacted picture.", now.sessions)
    yield _gauge("veilcam_raw_sessions", "Sessions of the raw picture, under a grant.", now.raw_sessions)
    yield _counter("veilcam_sessions_reaped_total", "Sessions ended that never connected.", now.reaped)
    yield _gauge("veilcam_viewers", "Viewers who take redacted packets.", sent.subscribers)
    yield _counter("veilcam_packets_published_total", "Redacted packets handed out.", sent.published)
    yield _counter("veilcam_packets_dropped_total", "Packets that slow viewers missed.", sent.dropped)
    yield _counter("veilcam_keyframes_requested_total", "Keyframes viewers asked for.", sent.keyframes_asked)


def _vitals(vitals: Vitals) -> Iterator[Metric]:
    if vitals.broker is not None:
        yield from _broker(vitals.broker)
    if vitals.certificate_ends_s is not None:
        told = "When the certificate ends that brokers know the camera by; seconds since 1970."
        yield _gauge("veilcam_broker_certificate_expiry_seconds", told, vitals.certificate_ends_s)
    if vitals.audit_entries is not None:
        yield _counter("veilcam_audit_entries_total", "Entries of the record.", vitals.audit_entries)
    if vitals.audit_unanchored is not None:
        told = "Entries whose head is not kept off the device yet, where an anchor is named."
        yield _gauge("veilcam_audit_unanchored_entries", told, vitals.audit_unanchored)
    if vitals.update is not None:
        yield from _update(vitals.update)
    if vitals.storage is not None:
        yield _gauge("veilcam_storage_size_bytes", "Size of the state's file system.", vitals.storage.size)
        yield _gauge("veilcam_storage_free_bytes", "What is free of it.", vitals.storage.free)


def _broker(broker: BrokerVitals) -> Iterator[Metric]:
    yield _gauge("veilcam_broker_named", "1 where the settings name a broker.", broker.named)
    yield _gauge("veilcam_broker_up", "1 while the broker has the camera.", broker.up)
    yield _counter(
        "veilcam_broker_connections_total", "Connections made since the start.", broker.connections
    )
    yield _gauge("veilcam_broker_waiting_messages", "Messages that wait for the broker.", broker.waiting)
    yield _counter(
        "veilcam_broker_refused_messages_total", "Messages that the broker did not take.", broker.refused
    )


def _update(update: UpdateVitals) -> Iterator[Metric]:
    yield _gauges("veilcam_update_phase", "1 for the phase that updates are in.", "phase", update.phases)
    told = "Security counter of what is confirmed; nothing below it is taken."
    yield _gauge("veilcam_update_security_counter", told, update.counter)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=float(value))


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(name, told, value=float(value))


def _gauges(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _counters(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, told, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
