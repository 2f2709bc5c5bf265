"""What doctor says of a broker, with a real Mosquitto: reached, refused, away, silent, and none."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from firmware.access.identity import open_identity
from firmware.cli import doctor_remote
from firmware.cli.doctor_remote import examine
from firmware.config.settings import Settings
from firmware.config.store import SettingsStore
from firmware.ports import SystemClock
from firmware.remote import reach as reaching
from firmware.remote.enrolment import Enrolment
from firmware.remote.topics import device_of
from tests.remote.mosquitto import Mosquitto, running
from tests.remote.pki import Authority


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with running(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


def camera(state: Path, mqtt: str | None, ca: Path | None = None, signed_by: Authority | None = None) -> Path:
    """A state folder that names a broker, with a certificate where somebody signs one."""
    identity = open_identity(state, [])
    SettingsStore(state, Settings(mqtt=mqtt, mqtt_ca=ca))
    if signed_by is not None:
        device = device_of(identity.fingerprint)
        enrolment = Enrolment(state, device, SystemClock())
        key = x509.load_pem_x509_csr(enrolment.request().encode()).public_key()
        assert isinstance(key, EllipticCurvePublicKey)
        enrolment.install(signed_by.sign(device, key))
    return state


def found(state: Path) -> dict[str, tuple[bool, str]]:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    told = {what: (ok, detail) for ok, what, detail in examine(state)}
    assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}, (
        "it writes nothing"
    )
    return told


def test_a_broker_that_takes_the_camera_is_well(mosquitto: Mosquitto, tmp_path: Path) -> None:
    authority = mosquitto.authority
    state = camera(tmp_path, f"localhost:{mosquitto.port}", authority.certificate, authority)
    told = found(state)
    assert told["broker"][0], told
    assert "by TLSv1." in told["broker"][1]
    assert told["certificate"][0]
    assert "29 days" in told["certificate"][1] or "30 days" in told["certificate"][1]
    log = (mosquitto.folder / "log").read_text()
    assert device_of(open_identity(state, []).fingerprint) not in log, (
        "no MQTT: the camera's session stays its own"
    )


def test_whom_the_broker_does_not_know_is_told_so(mosquitto: Mosquitto, tmp_path: Path) -> None:
    rogue = Authority(tmp_path / "rogue", "rogue")
    state = camera(tmp_path / "state", f"localhost:{mosquitto.port}", mosquitto.authority.certificate, rogue)
    ok, detail = found(state)["broker"]
    assert not ok
    assert "veilcam remote request" in detail


def test_a_revoked_certificate_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "broker") as own:
        state = camera(tmp_path / "state", f"localhost:{own.port}", own.authority.certificate, own.authority)
        assert found(state)["broker"][0]
        own.authority.revoke(state / "remote" / "client.pem")
        own.stop()
        own.start()
        ok, detail = found(state)["broker"]
        assert not ok
        assert "veilcam remote request" in detail


def test_a_broker_that_is_not_ours_is_not_believed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "other")
    state = camera(tmp_path / "state", f"localhost:{mosquitto.port}", other.certificate, mosquitto.authority)
    ok, detail = found(state)["broker"]
    assert not ok
    assert "mqtt_ca" in detail
    named = camera(
        tmp_path / "named",
        f"127.0.0.2:{mosquitto.port}",
        mosquitto.authority.certificate,
        mosquitto.authority,
    )
    assert not found(named)["broker"][0], "another address than its certificate's, or nobody there"


def test_nobody_there_and_nobody_who_speaks(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = mosquitto.authority
    away = camera(tmp_path / "away", "localhost:1", authority.certificate, authority)
    ok, detail = found(away)["broker"]
    assert not ok
    assert "does the broker run" in detail
    monkeypatch.setattr(reaching, "REACH_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mute = camera(tmp_path / "mute", f"127.0.0.1:{port}", authority.certificate, authority)
        ok, detail = found(mute)["broker"]
    assert not ok
    assert "firewall" in detail
    lost = camera(tmp_path / "lost", "localhost:1", tmp_path / "none.pem", authority)
    assert "mqtt_ca" in found(lost)["broker"][1]


def test_a_broker_without_a_certificate_for_it_is_not_contacted(mosquitto: Mosquitto, tmp_path: Path) -> None:
    state = camera(tmp_path, f"localhost:{mosquitto.port}", mosquitto.authority.certificate)
    told = found(state)
    assert not told["certificate"][0]
    assert "veilcam remote request" in told["certificate"][1]
    assert "was not contacted" in told["broker"][1]


def test_a_certificate_that_ends_soon_is_to_be_renewed(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = camera(tmp_path, None, None, mosquitto.authority)
    monkeypatch.setattr(doctor_remote, "SOON_S", 40 * 86_400)
    ok, detail = found(state)["certificate"]
    assert not ok
    assert "renew it" in detail


def test_where_none_is_named_doctor_is_well_and_contacts_nobody(tmp_path: Path) -> None:
    state = camera(tmp_path, None)
    command = [sys.executable, "-m", "firmware", "doctor", "--json", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    told = {one["what"]: one for one in json.loads(done.stdout)}
    assert told["broker"]["ok"]
    assert "nobody was contacted" in told["broker"]["detail"]
    assert told["certificate"]["ok"]
    assert {one["what"] for one in json.loads(done.stdout)} >= {"device", "certificate", "broker"}


def test_a_folder_without_keys_has_nothing_to_say(tmp_path: Path) -> None:
    assert list(examine(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_damaged_settings_are_named_and_not_mended(tmp_path: Path) -> None:
    state = camera(tmp_path, None)
    (state / "settings" / "settings.json").write_text("{")
    ok, detail = found(state)["broker"]
    assert not ok
    assert "settings.json" in detail
