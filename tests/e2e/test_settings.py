"""Settings are changed on a camera that runs, and on one that does not, by the same command."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import aiohttp
import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from firmware.config.model import ModelCache
from firmware.core.frames import Kind
from firmware.core.scene import truth
from tests.e2e.camera import FILL_BGR, TOLERANCE, camera, inner, judge
from tests.e2e.test_attack import status
from tests.stream.peer import viewer

pytestmark = [pytest.mark.models, pytest.mark.timeout(180)]


def veilcam(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firmware", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def notice(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/privacy") as answer:
        return await answer.text()


async def claim(url: str, code: str, key: str) -> int:
    body = {"code": code, "key": key, "name": "ada", "password": "correct horse"}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/api/v1/claim", json=body) as answer:
        return answer.status


async def anonymous(url: str) -> int:
    body = {"set": {"contact": "evil"}}
    async with aiohttp.ClientSession() as http, http.patch(f"{url}/api/v1/settings", json=body) as answer:
        return answer.status


def exported(state: Path, folder: Path) -> Path:
    """Export the record, which must have everything that happened."""
    export = folder / "record"
    assert veilcam("audit", "export", str(export), "--state", str(state)).returncode == 0
    shown = json.loads(veilcam("audit", "show", "--json", "--state", str(state)).stdout)["entries"]
    acts = Counter(entry["what"] for entry in shown)
    assert acts == {"audit.begun": 1, "settings.changed": 3, "owner.claimed": 1, "denied": 5}
    (stranger,) = [entry for entry in shown if entry["about"].get("status") == 401]
    assert (stranger["who"], stranger["about"]["from"]) == ("anybody", "127.0.0.1")
    return export


def prove(state: Path, export: Path, device: str) -> None:
    """The record proves, and a forged one does not."""
    head = ["--head", f"{export}.head"]
    assert device in veilcam("audit", "verify", str(export), *head).stdout
    assert veilcam("audit", "verify", *head, "--state", str(state)).returncode == 0
    export.write_text(export.read_text().replace("console", "nobody", 1))
    forged = veilcam("audit", "verify", str(export), *head)
    assert forged.returncode == 63
    assert "line 2: not signed by this device, or changed" in forged.stderr
    assert "another device" in veilcam("audit", "verify", str(export), *head, "--device", "x").stderr


def test_a_change_holds_at_once_and_a_weaker_one_needs_the_owner(
    tmp_path: Path, model_cache: ModelCache
) -> None:
    state, log = tmp_path / ("long" * 30) / "state", tmp_path / "log"
    key = tmp_path / "owner.key"
    with camera(state, log=log) as running:
        done = veilcam("settings", "set", "contact=Ada & Co", "--state", str(state), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["revision"] == 2
        assert "Ada &amp; Co" in asyncio.run(notice(running.url))
        assert asyncio.run(anonymous(running.url)) == 401

        refused = veilcam("settings", "set", "hide=faces", "--state", str(state))
        assert refused.returncode == 15
        assert "no owner who could sign" in refused.stderr
        (line,) = [line for line in log.read_text().splitlines() if "claim code" in line]
        assert veilcam("owner", "keygen", str(key), "--no-passphrase").returncode == 0
        public = key.with_name("owner.key.pub").read_text()
        assert asyncio.run(claim(running.url, line.rpartition(" ")[2], public)) == 201
        refused = veilcam("settings", "set", "hide=faces", "--state", str(state))
        assert "have it signed: veilcam owner sign" in refused.stderr

        device = str(asyncio.run(status(running.url))["device"])
        about = ["--key", str(key), "--device", device, "--revision", "3"]
        signed = tmp_path / "statement"
        signed.write_text(veilcam("owner", "sign", "hide=faces", *about).stdout)
        other = ["contact=x", "hide=faces", "--statement", str(signed), "--state", str(state)]
        assert "says something else" in veilcam("settings", "set", *other).stderr
        taken = ["settings", "set", "hide=faces", "--statement", str(signed), "--state", str(state)]
        assert veilcam(*taken).returncode == 0
        assert veilcam("settings", "set", "hide=people", "--state", str(state)).returncode == 0
        replayed = veilcam(*taken)
        assert replayed.returncode == 15
        assert "the next is 5" in replayed.stderr
        bad = veilcam("settings", "set", "ice_addresses=192.0.2.1", "--state", str(state))
        assert bad.returncode == 15
        assert "not an address of this machine" in bad.stderr
        export = exported(state, tmp_path)
    prove(state, export, device)
    done = veilcam("settings", "set", "max_viewers=3", "host_names=['cam.example']", "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert "at the next start: host_names" in done.stdout
    shown = json.loads(veilcam("settings", "show", "--json", "--state", str(state)).stdout)
    assert (shown["revision"], shown["settings"]["hide"], shown["settings"]["max_viewers"]) == (
        5,
        "people",
        3,
    )


def test_a_folder_that_is_none_is_not_made(tmp_path: Path) -> None:
    done = veilcam("settings", "show", "--state", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture that a viewer got: when, its time in the stream, and who shows in it."""

    at: float
    pts_s: float
    blind: bool
    faces: int
    bodies: int | None
    """Bodies of which more than half shows; None where the frame's number cannot be read."""


def filled(part: npt.NDArray[np.uint8]) -> float:
    """Return how much of a part has the mask's colour."""
    return float((np.abs(part.astype(int) - FILL_BGR) <= TOLERANCE).all(axis=-1).mean())


def look_at(frame: av.VideoFrame) -> Seen:
    bgr = np.asarray(cv2.cvtColor(frame.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2BGR_I420), np.uint8)
    judged = judge(bgr)
    bodies = None
    if judged.number is not None:
        height, width = bgr.shape[:2]
        people = [d.box for d in truth(judged.number, 30, width, height) if d.kind is Kind.PERSON]
        bodies = sum(filled(bgr[inner(box)]) < 0.5 for box in people if box.w > 20)
    pts_s = float((frame.pts or 0) * (frame.time_base or 0))
    return Seen(time.monotonic(), pts_s, judged.blind, len(judged.showing), bodies)


async def test_what_to_hide_changes_in_the_stream_at_once_without_a_gap(
    tmp_path: Path, model_cache: ModelCache
) -> None:
    state, first = tmp_path / "state", tmp_path / "settings.toml"
    await asyncio.to_thread(first.write_text, 'hide = "faces"\n')
    with camera(state, "--settings", str(first)) as running:
        async with aiohttp.ClientSession() as http, viewer() as v:
            headers, offer = {"Content-Type": "application/sdp"}, await v.offer()
            async with http.post(f"{running.url}/whep/redacted", data=offer, headers=headers) as answer:
                await v.take(await answer.text())
            frames: list[av.VideoFrame] = []
            arrived: list[float] = []

            async def take(seconds: float) -> None:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    frames.append(await v.frame())
                    arrived.append(time.monotonic())

            await take(4)
            changing = asyncio.create_task(
                asyncio.to_thread(veilcam, "settings", "set", "hide=people", "--state", str(state))
            )
            while not changing.done():
                await take(0.2)
            assert changing.result().returncode == 0, changing.result().stderr
            changed = time.monotonic()
            await take(4)
    seen = await asyncio.to_thread(lambda: [look_at(frame) for frame in frames])
    gaps = [later.pts_s - earlier.pts_s for earlier, later in pairwise(seen)]
    assert max(gaps) < 0.5, "the stream goes on"
    assert sum(one.faces for one in seen) == 0, "and no face shows, before, after and in between"
    told = list(zip(arrived, seen, strict=True))
    before = [one.bodies for at, one in told if at < changed - 2.5 and one.bodies is not None]
    assert sum(before) > 0, "with faces hidden alone, bodies show"
    after = [one.bodies for at, one in told if at > changed + 1 and one.bodies is not None]
    assert after
    assert sum(after) == 0, "one second after the command has returned, none does"
