"""Health, status and metrics over HTTP; numbers and states, nothing that names a person."""

import asyncio
from collections.abc import Sized
from http import HTTPStatus

from aiohttp import web

from firmware.access.roles import Right
from firmware.core.frames import Redacted, Verdict
from firmware.fanout import Fanout
from firmware.status import CameraStatus, StatusSource, Vitals, VitalsSource
from firmware.stream.ice import is_loopback
from firmware.stream.metrics import Measured, Watching, exposed
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
        vitals: VitalsSource = Vitals,
    ) -> None:
        self._fanout = fanout
        self._viewers = viewers
        self._raw = raw
        self._watchers = watchers
        self._status = status
        self._device = device
        self._vitals = vitals

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
        """Give the counters to this machine and whoever may measure, in the Prometheus format asked for."""
        if not is_loopback(client_address(request)) and Right.MEASURE not in request[WHO].rights:
            raise Refused(HTTPStatus.FORBIDDEN, "metrics are for this machine, or a log-in that may measure")
        vitals = await asyncio.to_thread(self._vitals)
        measured = Measured(self._status(), self._watching(), vitals)
        body, content_type = exposed(measured, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _watching(self) -> Watching:
        viewers, raw = len(self._viewers), len(self._raw)
        return Watching(viewers, raw, self._viewers.reaped, self._fanout.counters)


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
