"""Health, status and metrics over HTTP; numbers and states, nothing that names a person."""

from collections.abc import Iterator, Sized
from http import HTTPStatus

from aiohttp import web

from firmware.access.roles import Right
from firmware.core.frames import Redacted, Verdict
from firmware.fanout import Fanout
from firmware.status import CameraStatus, StatusSource
from firmware.stream.ice import is_loopback
from firmware.stream.problem import Refused
from firmware.stream.remote import client_address
from firmware.stream.viewers import Viewers
from firmware.stream.watchers import Watchers
from firmware.stream.who import WHO


class Telemetry:
    """The handlers of `/healthz`, `/metrics` and `/api/v1/status`."""

    def __init__(
        self,
        fanout: Fanout[Redacted],
        viewers: Viewers[Redacted],
        raw: Sized,
        watchers: Watchers,
        status: StatusSource,
        device: str = "",
    ) -> None:
        self._fanout = fanout
        self._viewers = viewers
        self._raw = raw
        self._watchers = watchers
        self._status = status
        self._device = device

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/healthz", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/api/v1/status", self.state)

    async def health(self, request: web.Request) -> web.Response:
        """Say that the camera lives; 503 once its pipeline has failed."""
        status = self._status()
        code = HTTPStatus.SERVICE_UNAVAILABLE if status.failed else HTTPStatus.OK
        return web.json_response({"status": condition(status)}, status=code)

    async def state(self, request: web.Request) -> web.Response:
        """Say how the camera is, for the page and for programs, to whoever may watch."""
        self._watchers.require(request)
        told = describe(self._status(), len(self._viewers), len(self._raw)) | {"device": self._device}
        return web.json_response(told)

    async def metrics(self, request: web.Request) -> web.Response:
        """Give the counters in Prometheus text format 0.0.4, to this machine and whoever may measure."""
        if not is_loopback(client_address(request)) and Right.MEASURE not in request[WHO].rights:
            raise Refused(HTTPStatus.FORBIDDEN, "metrics are for this machine, or a log-in that may measure")
        lines = [*camera_metrics(self._status()), *self._stream_metrics()]
        return web.Response(
            text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def _stream_metrics(self) -> Iterator[str]:
        counters = self._fanout.counters
        yield from _metric("veilcam_sessions", "gauge", len(self._viewers))
        yield from _metric("veilcam_raw_sessions", "gauge", len(self._raw))
        yield from _metric("veilcam_sessions_reaped_total", "counter", self._viewers.reaped)
        yield from _metric("veilcam_viewers", "gauge", counters.subscribers)
        yield from _metric("veilcam_packets_published_total", "counter", counters.published)
        yield from _metric("veilcam_packets_dropped_total", "counter", counters.dropped)
        yield from _metric("veilcam_keyframes_requested_total", "counter", counters.keyframes_asked)


def condition(status: CameraStatus) -> str:
    """Return `failed`, `blind` or `ok`."""
    if status.failed:
        return "failed"
    return "blind" if status.verdict is Verdict.BLIND else "ok"


def describe(status: CameraStatus, viewers: int, raw: int) -> dict[str, object]:
    """Return the status as the page and programs read it; ms, seconds, frames per second, pixels."""
    return {
        "status": condition(status),
        "verdict": status.verdict.value,
        "reason": status.reason,
        "released_fps": round(status.released_fps, 1),
        "latency_ms": {"p50": _tenth(status.latency_p50_ms), "p95": _tenth(status.latency_p95_ms)},
        "chain": status.chain,
        "detectors": list(status.detectors),
        "width": status.width,
        "height": status.height,
        "smallest": {"face": status.smallest_face, "body": status.smallest_body},
        "viewers": viewers,
        "raw_viewers": raw,
        "uptime_s": round(status.uptime_s, 1),
        "detector_restarts": status.detector_restarts,
        "released": {verdict.value: count for verdict, count in status.released.items()},
        "dropped": dict(status.dropped),
    }


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def camera_metrics(status: CameraStatus) -> Iterator[str]:
    """Yield the camera's own metrics."""
    yield from _metric("veilcam_up", "gauge", int(not status.failed))
    yield from _metric("veilcam_uptime_seconds", "gauge", status.uptime_s)
    yield from _metric("veilcam_detector_restarts_total", "counter", status.detector_restarts)
    yield from _metric("veilcam_released_fps", "gauge", status.released_fps)
    verdicts = {f'verdict="{verdict.value}"': int(status.verdict is verdict) for verdict in Verdict}
    yield from _family("veilcam_verdict", "gauge", verdicts)
    latency = {"0.5": status.latency_p50_ms, "0.95": status.latency_p95_ms}
    known = {f'quantile="{q}"': ms / 1000 for q, ms in latency.items() if ms is not None}
    yield from _family("veilcam_capture_to_packet_seconds", "gauge", known)
    released = {f'verdict="{verdict.value}"': count for verdict, count in status.released.items()}
    yield from _family("veilcam_frames_released_total", "counter", released)
    dropped = {f'stage="{_escape(stage)}"': count for stage, count in status.dropped.items()}
    yield from _family("veilcam_frames_dropped_total", "counter", dropped)


def _metric(name: str, kind: str, value: float) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value:.10g}"


def _family(name: str, kind: str, values: dict[str, int] | dict[str, float]) -> Iterator[str]:
    if values:
        yield f"# TYPE {name} {kind}"
    for label, value in values.items():
        yield f"{name}{{{label}}} {value:.10g}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
