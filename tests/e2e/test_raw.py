"""The raw picture from the real camera: by a grant, as the camera sees it, gone with grant and process."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import pyotp
import pytest

from firmware.access.people import new_person
from firmware.config.model import ModelCache
from firmware.desk import Desk, open_desk
from firmware.ports import SystemClock
from firmware.state import own
from tests.e2e.camera import camera, judge
from tests.stream.peer import Viewer, viewer

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]

PASSWORD = "correct horse battery"  # noqa: S105 - a test's
RESTARTS = int(os.environ.get("VEILCAM_TRIES", "2"))
PURPOSE = "a bicycle was stolen at nine"
SECRETS = {"ivy": pyotp.random_base32(), "abe": pyotp.random_base32()}


def prepare(state: Path) -> None:
    """Make the accounts of an investigator and an approver, both with an authenticator app."""

    async def desk() -> Desk:
        return await open_desk(state, SystemClock())

    with own(state):
        people = asyncio.run(desk()).people
        for name, role in (("ivy", "investigator"), ("abe", "approver")):
            person = new_person(name, [role], PASSWORD)
            people.put(person.model_copy(update={"totp": SECRETS[name]}))


class Client:
    """Somebody who uses the camera's interface."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.token = ""

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else {}

    async def log_in(self, name: str) -> None:
        code = pyotp.TOTP(SECRETS[name]).now()
        body = {"name": name, "password": PASSWORD, "code": code}
        status, told = await self.send("POST", "/api/v1/session", body)
        assert status == 201, told
        self.token = str(told["token"])

    async def watch(self, v: Viewer, kind: str) -> int:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.token}"}
        offer = await v.offer()
        async with self.http.post(f"{self.url}/whep/{kind}", data=offer, headers=headers) as answer:
            if answer.status == 201:
                await v.take(await answer.text())
            return answer.status


async def received(v: Viewer) -> int:
    stats = await v.peer.getReceivers()[0].getStats()
    return sum(one.packetsReceived for one in stats.values() if one.type == "inbound-rtp")


async def stops(v: Viewer, after: Awaitable[object]) -> float:
    """Return after how long no RTP came any more."""
    await after
    begun = last = time.monotonic()
    seen = await received(v)
    while time.monotonic() - begun < 3:
        await asyncio.sleep(0.05)
        now = await received(v)
        if now != seen:
            seen, last = now, time.monotonic()
    return last - begun


async def faces(v: Viewer, pictures: int) -> int:
    """Return in how many pictures a face shows."""
    showing = 0
    for _ in range(pictures):
        frame = await v.frame()
        bgr = cv2.cvtColor(frame.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2BGR_I420)
        showing += bool(judge(np.asarray(bgr, np.uint8)).showing)
    return showing


async def threads(pid: int) -> set[str]:
    def names() -> set[str]:
        return {path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")}

    return await asyncio.to_thread(names)


async def granted(ivy: Client, abe: Client) -> str:
    status, told = await ivy.send("POST", "/api/v1/grants", {"purpose": PURPOSE, "minutes": 5})
    assert status == 201, told
    assert (await abe.send("POST", f"/api/v1/grants/{told['id']}/approve"))[0] == 200
    return str(told["id"])


async def test_raw_is_seen_by_a_grant_and_gone_with_it(tmp_path: Path, model_cache: ModelCache) -> None:
    state = tmp_path / "state"
    await asyncio.to_thread(prepare, state)
    with camera(state) as running:
        async with aiohttp.ClientSession() as http:
            ivy, abe = Client(http, running.url), Client(http, running.url)
            await ivy.log_in("ivy")
            await abe.log_in("abe")
            async with viewer() as v:
                assert await ivy.watch(v, "raw") == 403
            assert not [name for name in await threads(running.process.pid) if "raw" in name]
            grant = await granted(ivy, abe)
            async with viewer() as v, viewer() as public:
                assert await ivy.watch(v, "raw") == 201
                assert await ivy.watch(public, "redacted") == 201
                assert await faces(v, 40) > 20, "the raw picture shows who is there"
                assert await faces(public, 40) == 0, "and the other one does not, meanwhile"
                command = [sys.executable, "-m", "firmware", "grants", "revoke", grant, "--state", str(state)]
                ended = asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
                assert await stops(v, ended) < 2
            assert (await ivy.send("GET", "/api/v1/session"))[0] == 200
            async with asyncio.timeout(3):
                while [name for name in await threads(running.process.pid) if "raw" in name]:
                    await asyncio.sleep(0.05)


@pytest.mark.timeout(120 + 30 * RESTARTS)
async def test_a_killed_camera_sends_nothing_more_and_forgets_every_grant(
    tmp_path: Path, model_cache: ModelCache
) -> None:
    state, token = tmp_path / "state", ""
    for turn in range(RESTARTS):
        # Anew, so that codes of this half minute are good again.
        await asyncio.to_thread(prepare, state)
        process, url = await asyncio.to_thread(started, state)
        try:
            async with aiohttp.ClientSession() as http, viewer() as v, viewer() as late:
                ivy, abe = Client(http, url), Client(http, url)
                if turn:
                    ivy.token = token
                    assert await ivy.watch(late, "raw") == 401, "a restart ends log-ins and grants"
                    assert (await ivy.send("GET", "/api/v1/grants"))[0] == 401
                ivy.token = ""
                await ivy.log_in("ivy")
                await abe.log_in("abe")
                await granted(ivy, abe)
                token = ivy.token
                assert await ivy.watch(v, "raw") == 201
                await v.frame()
                process.kill()
                assert await stops(v, asyncio.sleep(0)) < 2
        finally:
            process.kill()
            await asyncio.to_thread(process.wait, 5)


def started(state: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a camera that is to be killed."""
    run = [sys.executable, "-m", "firmware", "run", "--board", "laptop", "--listen", "127.0.0.1:0"]
    env = {**os.environ, "VEILCAM_ICE_ADDRESSES": "loopback"}
    process = subprocess.Popen([*run, "--state", str(state)], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    with process.stdout as out:
        return process, out.readline().split()[1]
