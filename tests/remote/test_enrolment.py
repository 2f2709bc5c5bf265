"""A certificate is taken for the camera's own key and name alone; a rotation that fails breaks nothing."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.errors import ConfigError, IdentityDamaged
from firmware.ports import SystemClock
from firmware.remote.enrolment import CERTIFICATE, FOLDER, KEY, WANTED, Enrolment
from tests.remote.pki import Authority

DEVICE = "0123abcd-4567ef01"


class Later(SystemClock):
    """A clock of next year."""

    def wall_ns(self) -> int:
        return super().wall_ns() + 365 * 86_400 * 1_000_000_000


def key_of(request: str) -> ec.EllipticCurvePublicKey:
    told = x509.load_pem_x509_csr(request.encode())
    assert told.is_signature_valid
    assert told.subject.rfc4514_string() == f"CN={DEVICE}"
    key = told.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def enrolled(state: Path, authority: Authority) -> Enrolment:
    made = Enrolment(state, DEVICE, SystemClock())
    made.install(authority.sign(DEVICE, key_of(made.request())))
    return made


def test_a_camera_is_enrolled_and_enrolled_again(tmp_path: Path, authority: Authority) -> None:
    made = enrolled(tmp_path, authority)
    first = made.now()
    assert first is not None
    assert first.issuer == "CN=authority"
    assert first.key.stat().st_mode & 0o777 == 0o600
    before = first.key.read_bytes()
    second = authority.sign(DEVICE, key_of(made.request()))
    assert first.key.read_bytes() == before, "the first serves until the second is there"
    made.install(second)
    assert first.key.read_bytes() != before
    made.install(second)


def test_what_was_not_asked_for_is_not_taken(tmp_path: Path, authority: Authority) -> None:
    made = enrolled(tmp_path, authority)
    before = {path: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    key = key_of(made.request())
    others = ec.generate_private_key(ec.SECP256R1()).public_key()
    for content, why in (
        (authority.sign(DEVICE, others), "another key"),
        (authority.sign("ffffffff-00000000", key), "another name"),
        (authority.sign(DEVICE, key, at="127.0.0.1"), "clientAuth"),
        (b"rubbish", "no certificate"),
        (b"", "no certificate"),
    ):
        with pytest.raises(ConfigError, match=why):
            made.install(content)
    with pytest.raises(ConfigError, match="expired"):
        Enrolment(tmp_path, DEVICE, Later()).install(authority.sign(DEVICE, key))
    assert {path: path.read_bytes() for path in before} == before


def test_nothing_is_installed_that_was_never_asked_for(tmp_path: Path, authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    made = Enrolment(tmp_path, DEVICE, SystemClock())
    assert made.now() is None
    with pytest.raises(ConfigError, match="make a request first"):
        made.install(authority.sign(DEVICE, key))


def test_a_power_cut_between_certificate_and_key_is_mended(tmp_path: Path, authority: Authority) -> None:
    made = enrolled(tmp_path, authority)
    folder = tmp_path / FOLDER
    old_key = (folder / KEY).read_bytes()
    second = authority.sign(DEVICE, key_of(made.request()))
    new_key = (folder / WANTED).read_bytes()
    made.settle()
    assert (folder / KEY).read_bytes() == old_key, "nothing was installed yet"
    (folder / CERTIFICATE).write_bytes(second)
    made.settle()
    assert ((folder / KEY).read_bytes(), (folder / WANTED).exists()) == (new_key, False)


def test_a_key_is_encrypted_where_the_devices_own_are(tmp_path: Path, authority: Authority) -> None:
    made = Enrolment(tmp_path, DEVICE, SystemClock(), "a secret of the TPM")
    made.install(authority.sign(DEVICE, key_of(made.request())))
    assert b"ENCRYPTED" in (tmp_path / FOLDER / KEY).read_bytes()
    with pytest.raises(IdentityDamaged, match="make a new request"):
        Enrolment(tmp_path, DEVICE, SystemClock()).install((tmp_path / FOLDER / CERTIFICATE).read_bytes())


def test_a_damaged_certificate_is_told(tmp_path: Path, authority: Authority) -> None:
    made = enrolled(tmp_path, authority)
    (tmp_path / FOLDER / CERTIFICATE).write_bytes(b"damaged")
    with pytest.raises(IdentityDamaged, match="have it signed again"):
        made.now()
