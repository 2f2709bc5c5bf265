"""Settings over MQTT: a real broker beside the bench, a camera with a certificate, and then a power cut."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from hil.bench import STATE, VEILCAM, Bench
from hil.emulated import network
from hil.owner import Owner
from tests.remote.mosquitto import Mosquitto, running

pytestmark = [pytest.mark.lg_feature(["emulated", "shell"]), pytest.mark.timeout(3600)]
CA = f"{STATE}/broker.pem"


class Operator:
    """Somebody with mosquitto_pub and mosquitto_sub, who knows one camera."""

    def __init__(self, bench: Bench, mosquitto: Mosquitto, device: str) -> None:
        self._bench, self._mosquitto, self._below = bench, mosquitto, f"veilcam/{device}"

    def wishes(self, **told: object) -> None:
        """Say which settings are wanted."""
        self._mosquitto.tool(
            "pub", "-t", f"{self._below}/settings/desired", "-m", json.dumps(told), "-q", "1", "-r"
        )

    def retained(self, name: str) -> str:
        return self._mosquitto.tool("sub", "-t", f"{self._below}/{name}", "-C", "1", "-W", "2").strip()

    def until(self, name: str, holds: Callable[[str], bool], within_s: float = 120) -> str:
        """Return what the camera keeps at the broker once it is so."""
        end, told = time.monotonic() + within_s * self._bench.slow, ""
        while time.monotonic() < end:
            told = self.retained(name)
            if told and holds(told):
                return told
        raise AssertionError(f"not within {within_s} s of the board's time: {name} is {told!r}")

    def outcome(self, state: str) -> dict[str, object]:
        """Return what is reported once the last wish has come to that."""
        said = self.until(
            "settings/reported", lambda told: state == (json.loads(told)["desired"] or {}).get("state")
        )
        return dict(json.loads(said))


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with running(tmp_path_factory.mktemp("broker"), network.HOST) as broker:
        yield broker


def enrol(bench: Bench, mosquitto: Mosquitto) -> str:
    """Sign the camera's request, as an integrator does; returns its name at the broker."""
    told = x509.load_pem_x509_csr(bench.run(f"{VEILCAM} remote request --state {STATE}", 60).encode())
    device, key = told.subject.rfc4514_string().removeprefix("CN="), told.public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    bench.put("/run/signed.pem", mosquitto.authority.sign(device, key))
    bench.run(f"chmod 644 /run/signed.pem; {VEILCAM} remote install /run/signed.pem --state {STATE}", 60)
    return device


async def test_settings_come_by_mqtt_and_outlive_a_power_cut(
    bench: Bench, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    await bench.until_shown(240)
    owner = Owner(bench, tmp_path)
    await owner.claim()
    await bench.until_shown(240)
    operator = Operator(bench, mosquitto, enrol(bench, mosquitto))
    bench.put(CA, mosquitto.authority.certificate.read_bytes())
    bench.run(f"chown veilcam {CA}")
    await owner.sets(f"mqtt={network.NAME}:{mosquitto.port}", f"mqtt_ca={CA}")
    told = json.loads(operator.until("settings/reported", bool))
    base = told["revision"]
    operator.wishes(base=base, set={"hide": "faces"})
    assert "have it signed" in str(operator.outcome("refused")), "what weakens privacy needs its owner"
    operator.wishes(base=base, set={"contact": "the bench"})
    assert operator.outcome("applied")["settings"]["contact"] == "the bench"  # type: ignore[index]
    bench.cut()
    operator.until("status", lambda told: told == "offline", 600)
    await bench.until_ready(300)
    operator.until("status", lambda told: told == "online", 300)
    told = json.loads(operator.retained("settings/reported"))
    assert (told["revision"], told["settings"]["contact"]) == (base + 1, "the bench")
