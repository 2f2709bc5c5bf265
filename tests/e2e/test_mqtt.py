"""A fleet's own tools configure a real camera over a real broker, as far as its owner lets them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from firmware.access.identity import open_identity
from firmware.config.model import ModelCache
from tests.e2e.camera import camera
from tests.e2e.test_settings import claim, look_at, veilcam
from tests.remote.mosquitto import Mosquitto, running
from tests.stream.peer import viewer

pytestmark = [pytest.mark.models, pytest.mark.timeout(240)]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with running(tmp_path) as broker:
        yield broker


def enrol(state: Path, mosquitto: Mosquitto) -> str:
    """Have the camera's request signed, as an integrator does; returns its name at the broker."""
    request = veilcam("remote", "request", "--state", str(state))
    assert request.returncode == 0, request.stderr
    told = x509.load_pem_x509_csr(request.stdout.encode())
    device, key = told.subject.rfc4514_string().removeprefix("CN="), told.public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    signed = state.with_name("signed.pem")
    signed.write_bytes(mosquitto.authority.sign(device, key))
    installed = veilcam("remote", "install", str(signed), "--state", str(state))
    assert installed.returncode == 0, installed.stderr
    return device


class Operator:
    """Somebody with mosquitto_pub and mosquitto_sub."""

    def __init__(self, mosquitto: Mosquitto, device: str) -> None:
        self.mosquitto, self.device = mosquitto, device

    def publish(self, name: str, told: object) -> None:
        text = told if isinstance(told, str) else json.dumps(told)
        retain = ["-r"] if name.startswith("settings/") else []
        topic = f"veilcam/{self.device}/{name}"
        self.mosquitto.tool("pub", "-t", topic, "-m", text, "-q", "1", *retain)

    def retained(self, name: str) -> str:
        topic = f"veilcam/{self.device}/{name}"
        return self.mosquitto.tool("sub", "-t", topic, "-C", "1", "-W", "2").strip()

    def wait(self, holds: Callable[[dict[str, object]], bool], within_s: float = 30) -> dict[str, object]:
        """Return what the camera reports once it is so."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            told = self.retained("settings/reported")
            if told and holds(json.loads(told)):
                return dict(json.loads(told))
        raise AssertionError(told)

    def outcome(self, state: str) -> dict[str, object]:
        """Wait until what was wanted last has come to that."""
        told = self.wait(lambda one: one["desired"] is not None and one["desired"]["state"] == state)  # type: ignore[index]
        desired = told["desired"]
        assert isinstance(desired, dict)
        return desired

    def ask(self, name: str, id_: str) -> dict[str, object]:
        """Ask, and return the answer; one client does both, since one certificate is one client."""
        topics = ["-t", f"veilcam/{self.device}/command/{name}", "-e", f"veilcam/{self.device}/result/{id_}"]
        command = json.dumps({"id": id_, "expires": int(time.time()) + 60})
        told = self.mosquitto.tool("rr", *topics, "-m", command, "-q", "1", "-W", "20", wait_s=25)
        return dict(json.loads(told))


async def bodies(url: str) -> tuple[int, int]:
    """Watch for some seconds: how many faces show, and how many bodies."""
    async with aiohttp.ClientSession() as http, viewer() as v:
        headers, offer = {"Content-Type": "application/sdp"}, await v.offer()
        async with http.post(f"{url}/whep/redacted", data=offer, headers=headers) as answer:
            await v.take(await answer.text())
        frames: list[av.VideoFrame] = []
        until = time.monotonic() + 5
        while time.monotonic() < until:
            frames.append(await v.frame())
    seen = await asyncio.to_thread(lambda: [look_at(frame) for frame in frames])
    return sum(one.faces for one in seen), sum(one.bodies or 0 for one in seen)


def test_a_fleet_has_faces_hidden_instead_of_people_once_the_owner_has_signed(
    tmp_path: Path, mosquitto: Mosquitto, model_cache: ModelCache
) -> None:
    state, log, first = tmp_path / "state", tmp_path / "camera.log", tmp_path / "settings.toml"
    first.write_text(
        f'mqtt = "localhost:{mosquitto.port}"\nmqtt_ca = "{mosquitto.authority.certificate}"\n'
        'mqtt_commands = ["identify", "snapshot", "lockdown", "restart"]\n'
    )
    with camera(state, "--settings", str(first), log=log) as live:
        operator = Operator(mosquitto, enrol(state, mosquitto))
        told = operator.wait(lambda one: True)
        assert (told["revision"], operator.retained("status")) == (1, "online")
        operator.publish("settings/desired", {"base": 1, "set": {"contact": "the hall"}})
        assert operator.outcome("applied")["reasons"] == []
        operator.publish("settings/desired", {"base": 2, "set": {"hide": "faces"}})
        assert "claim" in str(operator.outcome("refused")["reasons"])
        code = next(line for line in log.read_text().splitlines() if "claim code" in line).rpartition(" ")[2]
        key = tmp_path / "owner.key"
        assert veilcam("owner", "keygen", str(key), "--no-passphrase").returncode == 0
        public = key.with_name("owner.key.pub").read_text()
        assert asyncio.run(claim(live.url, code, public)) == 201
        faces, shown = asyncio.run(bodies(live.url))
        assert (faces, shown) == (0, 0), "people are hidden"
        fingerprint = open_identity(state).fingerprint
        about = ["--key", str(key), "--device", fingerprint, "--revision", "3"]
        said = veilcam("owner", "sign", "hide=faces", *about).stdout
        operator.publish("settings/desired", {"base": 2, "set": {"hide": "faces"}, "statement": said})
        operator.outcome("applied")
        faces, shown = asyncio.run(bodies(live.url))
        assert faces == 0
        assert shown > 0, "with faces hidden alone, bodies show"
        told = operator.ask("snapshot", "one")
        assert str(told["jpeg"]).startswith("/9j/")
        assert operator.ask("lockdown", "two")["state"] == "done"
        assert operator.wait(lambda one: one["revision"] == 4)["settings"]["viewing"] == "login"  # type: ignore[index]
        assert operator.ask("restart", "three")["state"] == "done"
        assert live.process.wait(20) == 0
    assert operator.retained("status") == "offline"
    entries = json.loads(veilcam("audit", "show", "--json", "--state", str(state)).stdout)["entries"]
    acts = [entry["what"] for entry in entries if entry["who"] == "broker"]
    assert acts.count("remote.command") == 3
    assert acts.count("settings.changed") == 3
