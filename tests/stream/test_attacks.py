"""Ways to the raw picture that are none: each is refused with the right status, and recorded."""

import asyncio
import ctypes
import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.stream.peer import viewer
from tests.stream.rig import Rig, options_of, rig
from tests.stream.test_http import ask
from tests.stream.test_people import PASSWORD, Account, acts, add, send, strong
from tests.stream.test_raw import SDP, house

ATTEMPTS = int(os.environ.get("VEILCAM_ATTEMPTS", "400"))
ROOT = Path(__file__).parents[2]
EXAMPLES = os.environ.get("VEILCAM_EXAMPLES", "8")

PATHS = [
    "/whep/raw",
    "/whep/RAW",
    "/WHEP/raw",
    "/whep/raw/",
    "//whep/raw",
    "/whep//raw",
    "/whep/raw;redacted",
    "/whep/raw?grant=live&session=1",
    "/whep/%72aw",
    "/whep/raw%2F",
    "/whep/raw%00",
    "/whep/redacted/../raw",
    "/whep/redacted/%2e%2e/raw",
    "/api/v1/raw",
]
HEADERS = [
    {"X-HTTP-Method-Override": "GET"},
    {"X-Original-URL": "/whep/raw", "X-Rewrite-URL": "/whep/raw"},
    {"X-Forwarded-User": "ivy", "Remote-User": "ivy"},
    {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
    {"Authorization": "Basic aXZ5Og=="},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer null"},
    {"Cookie": "__Host-veilcam=; veilcam=; session=ivy"},
]


async def denied(r: Rig) -> list[dict[str, object]]:
    return [about for what, _, about in await acts(r) if what == "denied"]


@pytest.mark.parametrize("path", PATHS)
async def test_no_spelling_of_the_address_leads_to_it(path: str) -> None:
    async with house() as h, viewer() as v:
        await h.granted()
        before = len(await denied(h.rig))
        status, _, _ = await ask(h.rig, "POST", path, data=await v.offer(), headers=SDP)
        assert status in (401, 403, 404, 405)
        assert len(await denied(h.rig)) == before + 1
        assert "raw.begun" not in [what for what, _, _ in await acts(h.rig)]


@pytest.mark.parametrize("headers", HEADERS, ids=range(len(HEADERS)))
async def test_no_header_stands_for_a_log_in(headers: dict[str, str]) -> None:
    async with house() as h, viewer() as v:
        await h.granted()
        offer = await v.offer()
        for path in ("/whep/raw", "/whep/redacted"):
            status, _, _ = await ask(h.rig, "POST", path, data=offer, headers=SDP | headers)
            assert status == (401 if path == "/whep/raw" else 201)
        assert "raw.begun" not in [what for what, _, _ in await acts(h.rig)]
        assert (await denied(h.rig))[-1]["where"] == "/whep/raw"


SMUGGLED = (
    "POST /whep/redacted HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/sdp\r\n"
    "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    "POST /whep/raw HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\r\n"
)


async def test_a_request_cannot_be_hidden_in_another() -> None:
    async with house() as h:
        host = h.rig.url.partition("//")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(host.rpartition(":")[2]))
        writer.write(SMUGGLED.format(host=host, length=4).encode())
        told = await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
        assert told.startswith(b"HTTP/1.0 400")
        assert told.count(b"HTTP/1.") == 1, "and the connection is shut"


async def test_a_token_that_is_over_is_nothing_wherever_it_is_replayed() -> None:
    async with house() as h, viewer() as v:
        await h.granted()
        token = h.ivy.token
        await send(h.rig, "DELETE", "/api/v1/session", token=token)
        assert (await h.post(await v.offer(), token))[0] == 401
        for method, path in (
            ("GET", "/api/v1/session"),
            ("GET", "/api/v1/grants"),
            ("POST", "/api/v1/grants"),
            ("GET", "/api/v1/me"),
            ("DELETE", "/api/v1/session"),
        ):
            assert (await send(h.rig, method, path, token=token))[0] == 401
        told = [(about["where"], about["status"]) for about in await denied(h.rig)]
        assert told[-6:] == [
            ("/whep/raw", 401),
            ("/api/v1/session", 401),
            ("/api/v1/grants", 401),
            ("/api/v1/grants", 401),
            ("/api/v1/me", 401),
            ("/api/v1/session", 401),
        ]


async def test_an_idle_log_in_is_over() -> None:
    async with house() as h, viewer() as v:
        h.clock.ahead_ns += 1801 * 10**9
        assert (await h.post(await v.offer(), h.ivy.token))[0] == 401


async def test_pages_of_others_can_neither_frame_nor_forge() -> None:
    async with house() as h:
        cookie = {"Cookie": f"veilcam={h.ivy.token}"}
        for path in ("/", "/login", "/grants", "/raw", "/privacy"):
            _, headers, _ = await ask(h.rig, "GET", path, headers=cookie)
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        body = json.dumps({"purpose": "to see what they do", "minutes": 5})
        kinds = ("application/json", "text/plain", "application/x-www-form-urlencoded")
        for origin in ("https://evil.example", "null", "https://127.0.0.1.evil.example", None):
            for kind in kinds:
                told = cookie | {"Content-Type": kind} | ({"Origin": origin} if origin else {})
                status, _, _ = await ask(h.rig, "POST", "/api/v1/grants", data=body, headers=told)
                assert status == 403
        assert h.rig.desk.grants.cases() == []
        assert len([one for one in await denied(h.rig) if one["status"] == 403]) == 12


@pytest.mark.timeout(600)
async def test_a_flood_of_guesses_is_slowed_down_and_locks_nobody_out() -> None:
    options = options_of(trusted_proxies=("127.0.0.1",), ice_addresses="loopback")
    async with rig(options) as r:
        bob = await add(r, "bob", "viewer")
        ivy = await strong(r, "ivy", "investigator")
        seen: dict[int, int] = {}
        took: list[float] = []
        memory = [await asyncio.to_thread(resident_kib)]
        lane = asyncio.Semaphore(20)

        async def guess(n: int) -> None:
            body = {"name": ("bob", "ivy", "nobody")[n % 3], "password": f"a wrong password {n}"}
            who = {"X_Forwarded_For": f"198.51.{100 + n % 200 // 100}.{n % 100}"}
            async with lane:
                status, _, _ = await send(r, "POST", "/api/v1/session", body, **who)
            seen[status] = seen.get(status, 0) + 1

        async def honest(account: Account, ahead: int) -> None:
            begun = time.monotonic()
            who = {"X_Forwarded_For": "203.0.113.9"}
            body = {"name": account.name, "password": PASSWORD}
            body |= {"code": account.code(ahead)} if account.secret else {}
            status, _, text = await send(r, "POST", "/api/v1/session", body, **who)
            took.append(time.monotonic() - begun)
            assert status == 201, text

        for part in range(4):
            async with asyncio.TaskGroup() as tasks:
                for n in range(part * ATTEMPTS // 4, (part + 1) * ATTEMPTS // 4):
                    tasks.create_task(guess(n))
                await asyncio.sleep(0.2)
                tasks.create_task(honest(bob, 0))
                if part == 0:
                    tasks.create_task(honest(ivy, 0))
            memory.append(await asyncio.to_thread(resident_kib))
        assert set(seen) <= {401, 429}
        assert seen[401] <= 5 * min(200, ATTEMPTS) + 10
        assert memory[-1] - memory[1] < 8 * 1024
        sys.stdout.write(
            f"{ATTEMPTS} guesses: {seen}; log-ins meanwhile took {max(took):.2f} s at most; "
            f"resident {memory} KiB\n"
        )


def resident_kib() -> int:
    """Return what is in memory, without what was freed: glibc may keep as much as a password's hash took."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ["a stranger", "an investigator", "an owner"])
async def test_nothing_in_the_description_leads_to_it(who: str, tmp_path: Path) -> None:
    """Schemathesis sends what the description allows and forbids, by everybody's token."""
    async with house() as h:
        await h.granted()
        tokens = {"a stranger": "", "an investigator": await twin(h.rig, "ivy"), "an owner": h.owner.token}
        token = tokens[who]
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{h.rig.url}/api/v1/openapi.json",
            "--phases=examples,coverage,fuzzing",
            "--checks=not_a_server_error,content_type_conformance,response_schema_conformance,ignored_auth",
            f"--max-examples={EXAMPLES}",
            "--exclude-operation-id=logOut",
            "--continue-on-failure",
            "--warnings=off",
            "--no-color",
            *(["-H", f"Authorization: Bearer {token}"] if token else []),
        ]
        running = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.stream.schemathesis_hooks",
                "PYTHONPATH": str(ROOT),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await running.communicate()
        assert running.returncode == 0, told.decode()[-6000:]
        assert "raw.begun" not in [what for what, _, _ in await acts(h.rig)]
        assert any("owner" in person.roles for person in h.rig.desk.people.all())
        if EXAMPLES != "8":
            sys.stdout.write(told.decode()[-600:])


async def twin(r: Rig, name: str) -> str:
    """Another log-in of somebody who holds a grant in the first one."""
    return r.desk.sessions.begin(name, strong=True)[0]
