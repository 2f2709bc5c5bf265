"""Every answer over HTTP: statuses, problem documents, headers, who is let in."""

import asyncio
import json
import logging
import re
import socket
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

from firmware.access.people import People
from firmware.access.roles import ANYBODY
from firmware.access.sessions import Sessions
from firmware.config.settings import Settings
from firmware.core.frames import Redacted, Verdict
from firmware.desk import open_desk
from firmware.errors import ConfigError, PortInUse
from firmware.ports import SystemClock
from firmware.stream.ice import IcePolicy, Reach
from firmware.stream.listen import Listen, bind, read_listen, read_tls
from firmware.stream.options import StreamOptions
from firmware.stream.problem import Refused
from firmware.stream.remote import PROXIES
from firmware.stream.server import serve
from firmware.stream.telemetry import Telemetry
from firmware.stream.viewers import Viewers
from firmware.stream.watchers import Watchers
from firmware.stream.who import WHO
from tests.fanout.packets import silent_fanout
from tests.stream.peer import candidates, strip_candidates, viewer
from tests.stream.rig import Rig, Status, options_of, rig, until

LOOPBACK = options_of(listen="127.0.0.1:0", ice_addresses="loopback")


async def ask(rig_: Rig, method: str, path: str, **more: object) -> tuple[int, CIMultiDict[str], str]:
    async with rig_.http.request(method, rig_.url + path, **more) as answer:  # type: ignore[arg-type]
        return answer.status, answer.headers.copy(), await answer.text()


def assert_problem(found: tuple[int, CIMultiDict[str], str], status: int) -> None:
    code, headers, body = found
    assert code == status, (code, body)
    assert headers["Content-Type"].startswith("application/problem+json")
    document = json.loads(body)
    assert document["status"] == status
    assert document["detail"]


async def test_pages_have_security_headers_and_no_foreign_parts() -> None:
    async with rig() as r:
        for path in (
            "/",
            "/privacy",
            "/static/viewer.js",
            "/static/whep.js",
            "/static/style.css",
            "/static/icon.svg",
        ):
            status, headers, body = await ask(r, "GET", path)
            assert status == 200, path
            assert headers["Content-Security-Policy"].startswith("default-src 'self'")
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Server"] == "veilcam"
            assert "//" not in body.replace("http://www.w3.org/2000/svg", "").replace("// ", "").replace(
                "*//", ""
            )
        status, _, _ = await ask(r, "GET", "/static/../server.py")
        assert status == 404


async def test_the_notice_names_whom_to_ask_escaped() -> None:
    async with rig(options_of(listen="127.0.0.1:0", ice_addresses="loopback", contact="A <b>& Co")) as r:
        _, _, body = await ask(r, "GET", "/privacy")
        assert "A &lt;b&gt;&amp; Co" in body
        assert "Nothing is recorded by this version" in body
        assert "{{" not in body


async def test_status_health_and_metrics() -> None:
    async with rig() as r:
        code, headers, body = await ask(r, "GET", "/api/v1/status")
        assert (code, headers["Cache-Control"]) == (200, "no-store")
        found = json.loads(body)
        assert found["verdict"] == "verified"
        assert found["latency_ms"] == {"p50": 41.5, "p95": 63.0}
        assert (await ask(r, "GET", "/healthz"))[::2] == (200, '{"status": "ok"}')
        r.status.change(verdict=Verdict.BLIND, latency_p50_ms=None)
        assert (await ask(r, "GET", "/healthz"))[::2] == (200, '{"status": "blind"}')
        _, headers, body = await ask(r, "GET", "/metrics")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'veilcam_verdict{verdict="blind"} 1' in body
        assert 'veilcam_capture_to_packet_seconds{quantile="0.95"} 0.063' in body
        assert 'quantile="0.5"' not in body
        assert "veilcam_packets_published_total 0" in body
        r.status.change(failed=True)
        assert (await ask(r, "GET", "/healthz"))[::2] == (503, '{"status": "failed"}')


async def test_metrics_are_for_this_machine_alone(tmp_path: Path) -> None:
    fanout = silent_fanout()
    viewers: Viewers[Redacted] = Viewers(IcePolicy(Reach.LOOPBACK), most=lambda: 1, connect_within_s=1)
    people = await asyncio.to_thread(People, tmp_path, SystemClock())
    watchers = Watchers(Settings, Sessions(people, SystemClock()), fanout)
    telemetry = Telemetry(fanout, viewers, (), watchers, Status())
    app = web.Application()
    app[PROXIES] = frozenset
    for remote in ("192.0.2.7", "2001:db8::7", ""):
        request = make_mocked_request("GET", "/metrics", app=app).clone(remote=remote)
        request[WHO] = ANYBODY
        with pytest.raises(Refused, match="this machine"):
            await telemetry.metrics(request)
    fanout.close()


async def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with rig(camera=True) as r, viewer() as v:
        offer = await v.offer()
        _, headers, answer = await r.post(offer, Authorization="Bearer very-secret")
        await v.take(answer)
        await v.frame()
        passwords = [line.partition(":")[2] for line in (offer + answer).splitlines() if "ice-pwd" in line]
        assert len(passwords) == 2
        for secret in (*passwords, "very-secret", headers["Location"]):
            assert secret not in caplog.text


async def test_it_listens_on_ipv6_loopback() -> None:
    async with rig(options_of(listen="[::1]:0", ice_addresses="loopback")) as r:
        assert r.url.startswith("http://[::1]:")
        assert (await ask(r, "GET", "/healthz"))[0] == 200


async def test_it_answers_by_every_address_of_loopback_that_it_listens_on() -> None:
    async with rig(options_of(listen="127.0.0.2:0", ice_addresses="loopback")) as r:
        assert r.url.startswith("http://127.0.0.2:")
        assert (await ask(r, "GET", "/healthz"))[0] == 200
        found = await ask(r, "GET", "/healthz", headers={"Host": "127.0.0.3"})
        assert_problem(found, 421)


async def test_raw_is_refused_whatever_is_asked() -> None:
    async with rig() as r, viewer() as v:
        offer = await v.offer()
        headers = {"Content-Type": "application/sdp", "Authorization": "Bearer anything"}
        for path in (
            "/whep/raw",
            "/whep/raw/",
            "/whep/raw/abc",
            "/whep/raw?grant=1",
            "/whep/redacted/../raw",
        ):
            for method in ("POST", "PATCH", "DELETE", "GET", "PUT"):
                found = await ask(r, method, path, data=offer, headers=headers)
                assert found[0] in (401, 403), (method, path)
                assert_problem(found, found[0])
                assert "live grant" in found[2]
        for path in ("/whep/RAW", "/whep/raw%2F", "/whep/%72aw", "/whep/redacted/raw", "/whep"):
            code, _, _ = await ask(r, "POST", path, data=offer, headers=headers)
            assert code in (401, 403, 404, 405), path
        assert await r.sessions() == 0


async def test_parameters_do_not_change_what_is_sent() -> None:
    async with rig() as r, viewer() as v:
        offer = await v.offer()
        code, headers, _ = await ask(
            r,
            "POST",
            "/whep/redacted?rendition=raw&raw=1",
            data=offer,
            headers={"Content-Type": "application/sdp"},
        )
        assert code == 201
        assert headers["Location"].startswith("/whep/redacted/")


async def test_a_session_is_opened_trickled_and_ended() -> None:
    async with rig() as r, viewer() as v:
        offer = await v.offer()
        code, headers, answer = await r.post(strip_candidates(offer))
        assert code == 201
        assert headers["Content-Type"].startswith("application/sdp")
        assert headers["ETag"].startswith('"')
        assert "m=audio" not in answer
        assert "H264" in answer
        assert "VP8" not in answer
        assert "a=sendonly" in answer
        assert "profile-level-id=42e01f" in answer
        assert "a=end-of-candidates" in answer
        hosts = {line.split()[4] for line in candidates(answer)}
        assert hosts == {"127.0.0.1"}
        path = headers["Location"]
        fragment = "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + "\r\n".join(candidates(offer)) + "\r\n"
        kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
        for more in ({}, {"If-Match": "*"}, {"If-Match": headers["ETag"]}):
            assert (await ask(r, "PATCH", path, data=fragment, headers=kind | more))[0] == 204
        end = "a=end-of-candidates\r\n"
        assert (await ask(r, "PATCH", path, data=end, headers=kind))[0] == 204
        assert_problem(await ask(r, "PATCH", path, data=fragment, headers=kind | {"If-Match": '"x"'}), 412)
        assert_problem(await ask(r, "PATCH", path, data="hello", headers=kind), 400)
        assert_problem(await ask(r, "PATCH", path, data=b"\xff", headers=kind), 400)
        assert_problem(await ask(r, "PATCH", path, data=fragment), 415)
        restart = f"a=ice-ufrag:other\r\na=ice-pwd:{'x' * 22}\r\n{fragment}"
        assert_problem(await ask(r, "PATCH", path, data=restart, headers=kind), 422)
        for wrong in ("1 1 udp 1 127.0.0.1 x typ host", "short", "", "1 1 udp 1 127.0.0.1 99999 typ host"):
            found = await ask(r, "PATCH", path, data=f"a=candidate:{wrong}\r\n", headers=kind)
            assert found[0] == 204, "a player that is refused ends the session"
        many = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n" * 40
        assert (await ask(r, "PATCH", path, data=many, headers=kind))[0] == 204
        for nothing in ("a=mid:0\r\na=\r\n", f"a=ice-ufrag:{fragment_ufrag(offer)}\r\n"):
            assert (await ask(r, "PATCH", path, data=nothing, headers=kind))[0] == 204
        assert_problem(await ask(r, "GET", path), 405)
        assert (await ask(r, "DELETE", path))[0] == 200
        assert_problem(await ask(r, "DELETE", path), 404)
        assert_problem(await ask(r, "PATCH", path, data=fragment, headers=kind), 404)


async def test_refusals_have_their_status() -> None:
    async with rig() as r, viewer() as v:
        offer = await v.offer()
        assert_problem(await ask(r, "GET", "/nothing"), 404)
        found = await ask(r, "GET", "/whep/redacted")
        assert_problem(found, 405)
        assert "POST" in found[1]["Allow"]
        assert_problem(await ask(r, "POST", "/"), 405)
        assert_problem(await r.post(offer, Accept="text/html"), 406)
        found = await r.post(offer, Content_Type="text/plain")
        assert_problem(found, 415)
        assert found[1]["Accept-Post"] == "application/sdp"
        assert_problem(await r.post("v=0\r\n" + "a=x\r\n" * 20_000), 413)
        assert_problem(await r.post("hello"), 400)
        assert_problem(await r.post(b"\xff\xfe"), 400)
        assert_problem(await r.post(""), 400)
        assert (await r.post(offer, Accept="application/sdp;q=1, text/plain"))[0] == 201


def fragment_ufrag(offer: str) -> str:
    return next(line.partition(":")[2] for line in offer.splitlines() if line.startswith("a=ice-ufrag:"))


async def test_offers_for_something_else_are_refused() -> None:
    async with rig() as r, viewer() as v:
        offer = await v.offer()
        lines = offer.splitlines(keepends=True)
        cut = next(i for i, line in enumerate(lines) if line.startswith("m="))
        data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:5\r\n"
        refused = {
            "no H.264": (offer.replace("H264", "H265"), "packetization-mode=1"),
            "H.264 that takes no fragments": (
                offer.replace("packetization-mode=1", "packetization-mode=0"),
                "packetization-mode=1",
            ),
            "only high profile": (re.sub("42[0-9a-f]{4}", "640c1f", offer), "42e01f"),
            "to send": (offer.replace("a=recvonly", "a=sendonly"), "recvonly"),
            "nothing": (offer.replace("a=recvonly", "a=inactive"), "recvonly"),
            "withdrawn": (re.sub("m=video [0-9]+", "m=video 0", offer), "no video"),
            "sound alone": (offer.replace("m=video", "m=audio"), "no video"),
            "data alone": ("".join(lines[:cut]) + data, "no video"),
            "unencrypted": (offer.replace("UDP/TLS/RTP/SAVPF", "udp"), "SAVPF"),
            "no mux": (offer.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
            "far too many": (offer + "m=audio 9 RTP/AVP 0\r\n" * 20, "more than"),
        }
        for name, (text, said) in refused.items():
            found = await r.post(text)
            assert found[0] == 422, (name, found)
            assert_problem(found, 422)
            assert said in found[2], name
        malformed = {
            "no password": "".join(line for line in lines if "ice-pwd" not in line),
            "no fingerprint": "".join(line for line in lines if "fingerprint" not in line),
            "no SHA-2": re.sub("a=fingerprint:sha-...", "a=fingerprint:sha-1", offer),
            "other setup": re.sub("a=setup:.*", "a=setup:holdconn", offer),
            "two names": offer.replace("a=mid:0\r\n", "a=mid:0\r\na=mid:1\r\n"),
            "one name twice": offer + "".join(lines[cut:]),
            "no media": "".join(lines[:cut]),
            "media line": re.sub("m=video [0-9]+", "m=video", offer),
            "no line": offer + "hello\r\n",
        }
        for name, text in malformed.items():
            found = await r.post(text)
            assert found[0] == 400, (name, found)
            assert_problem(found, 400)
        assert await r.sessions() == 0


async def test_viewers_are_bounded() -> None:
    options = options_of(listen="127.0.0.1:0", ice_addresses="loopback", max_viewers=3)
    async with rig(options) as r, viewer() as v:
        offer = strip_candidates(await v.offer())
        found = await asyncio.gather(*(r.post(offer) for _ in range(6)))
        assert sorted(code for code, _, _ in found) == [201] * 3 + [503] * 3
        busy = next(answer for answer in found if answer[0] == 503)
        assert_problem(busy, 503)
        assert int(busy[1]["Retry-After"]) > 0
        location = next(headers["Location"] for code, headers, _ in found if code == 201)
        assert (await ask(r, "DELETE", location))[0] == 200
        assert (await r.post(offer))[0] == 201


async def test_sessions_that_never_connect_are_reaped() -> None:
    options = options_of(listen="127.0.0.1:0", ice_addresses="loopback", connect_within_s=0.6)
    async with rig(options) as r, viewer() as v:
        assert (await r.post(strip_candidates(await v.offer())))[0] == 201
        assert await r.sessions() == 1

        async def gone() -> bool:
            return await r.sessions() == 0

        await until(gone, 5)
        _, _, body = await ask(r, "GET", "/metrics")
        assert "veilcam_sessions_reaped_total 1" in body


async def test_preflight_names_authorization_and_what_to_post() -> None:
    async with rig() as r:
        for path in ("/whep/redacted", "/whep/raw", "/whep/redacted/abc"):
            origin = {"Origin": "http://localhost:1234", "Access-Control-Request-Method": "POST"}
            code, headers, body = await ask(r, "OPTIONS", path, headers=origin)
            assert (code, body) == (204, "")
            assert headers["Accept-Post"] == "application/sdp"
            assert "Authorization" in headers["Access-Control-Allow-Headers"]
            assert headers["Access-Control-Allow-Origin"] == "http://localhost:1234"
            for name in ("Location", "ETag", "Link", "Accept-Patch"):
                assert name in headers["Access-Control-Expose-Headers"]


async def test_foreign_pages_and_rebound_names_are_refused() -> None:
    async with rig() as r, viewer() as v:
        offer = strip_candidates(await v.offer())
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://[",
            "http://[::2",
        ):
            found = await r.post(offer, Origin=origin)
            assert_problem(found, 403)
            assert "Access-Control-Allow-Origin" not in found[1]
        for host in ("evil.example", "127.0.0.1.evil.example:80", "[::2]:80", "evil.example@127.0.0.1"):
            assert_problem(await ask(r, "GET", "/api/v1/status", headers={"Host": host}), 421)
        for host in ("localhost", "LOCALHOST:80", "[::1]:8080", "127.0.0.1:1"):
            assert (await ask(r, "GET", "/healthz", headers={"Host": host}))[0] == 200
        assert (await r.post(offer, Origin=r.url))[0] == 201


async def test_configured_names_and_origins_are_let_in() -> None:
    options = options_of(
        listen="127.0.0.1:0",
        ice_addresses="loopback",
        host_names=("Cam.Home",),
        origins=("https://home.example",),
    )
    async with rig(options) as r, viewer() as v:
        assert (await ask(r, "GET", "/healthz", headers={"Host": "cam.home:8080"}))[0] == 200
        code, headers, _ = await r.post(strip_candidates(await v.offer()), Origin="https://home.example")
        assert (code, headers["Access-Control-Allow-Origin"]) == (201, "https://home.example")


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
     "::1:80", "[::1]", "[127.0.0.1]:80", "camera:80", "127.0.0.1:٣", "[]:1", "1.2.3:5"],
)  # fmt: skip
def test_a_wrong_listen_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="--listen") as caught:
        read_listen(text)
    assert "\n" not in str(caught.value)


def test_listen_addresses() -> None:
    assert read_listen("localhost:0") == Listen("127.0.0.1", 0)
    assert read_listen("[::1]:65535").url("https") == "https://[::1]:65535"


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}: another program") as caught:
            await _serve_once(options_of(listen=f"127.0.0.1:{port}"))
    assert caught.value.exit_code == 13
    with pytest.raises(PortInUse):
        bind(Listen("192.0.2.1", 0))


async def _serve_once(options: StreamOptions) -> None:
    with tempfile.TemporaryDirectory() as state:
        desk = await open_desk(Path(state), SystemClock())
        async with serve(options, desk.gate, []):
            pass


async def test_plain_http_beyond_loopback_is_refused() -> None:
    with pytest.raises(ConfigError, match="HTTPS is needed beyond loopback"):
        await _serve_once(options_of(listen="0.0.0.0:0"))
    with pytest.raises(ConfigError, match="HTTPS is needed beyond loopback"):
        await _serve_once(options_of(listen="192.0.2.1:80"))


def test_half_a_tls_pair_or_rubbish_is_told(tmp_path: Path) -> None:
    rubbish = tmp_path / "cert.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ConfigError, match="both"):
        read_tls(Settings(tls_certificate=rubbish), Listen("127.0.0.1", 0))
    for certificate in (rubbish, tmp_path / "none.pem"):
        with pytest.raises(ConfigError, match="TLS certificate"):
            read_tls(Settings(tls_certificate=certificate, tls_key=rubbish), Listen("0.0.0.0", 0))


async def test_https_serves_with_a_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    options = options_of(
        listen="127.0.0.1:0", ice_addresses="loopback", tls_certificate=certificate, tls_key=key
    )
    async with rig(options) as r:
        assert r.url.startswith("https://")
        async with ClientSession() as http, http.get(f"{r.url}/healthz", ssl=False) as answer:
            assert answer.status == 200


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for a test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private
