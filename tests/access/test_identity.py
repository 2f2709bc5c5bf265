"""The device makes its keys once, keeps them to itself, and is known by them."""

import asyncio
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware.access.identity import CERTIFICATE, FOLDER, Identity, known_identity, open_identity
from firmware.access.keystore import EXCHANGE, SIGNING, TLS, FileKeyStore
from firmware.config.settings import Settings
from firmware.errors import IdentityDamaged
from firmware.stream.listen import Listen, read_tls

FILES = {SIGNING, EXCHANGE, TLS, CERTIFICATE}


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return open_identity(tmp_path, ["camera.example", "192.0.2.7"])


def test_files_are_the_cameras_alone(identity: Identity, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    assert {path.name for path in folder.iterdir()} == FILES
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_it_is_the_same_device_at_every_start(identity: Identity, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    again = open_identity(tmp_path, ["camera.example", "192.0.2.7"])
    assert (again.fingerprint, again.tls_fingerprint) == (identity.fingerprint, identity.tls_fingerprint)
    assert {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()} == before
    assert len(identity.fingerprint) == 71
    assert open_identity(tmp_path / "other").fingerprint != identity.fingerprint


def test_its_signature_is_its_own(identity: Identity) -> None:
    public = Ed25519PublicKey.from_public_bytes(identity.keys.signing_public)
    public.verify(identity.keys.sign(b"said"), b"said")
    with pytest.raises(InvalidSignature):
        public.verify(identity.keys.sign(b"said"), b"sais")


def test_what_is_encrypted_for_it_only_it_can_read(identity: Identity, tmp_path: Path) -> None:
    held = FileKeyStore(tmp_path / FOLDER)
    assert held.exchange_public == identity.keys.exchange_public
    assert held.exchange_public not in (
        X25519PrivateKey.generate().public_key().public_bytes_raw(),
        bytes(32),
    )


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_file_is_told_and_not_replaced(
    name: str, content: bytes, identity: Identity, tmp_path: Path
) -> None:
    path = tmp_path / FOLDER / name
    path.write_bytes(content)
    with pytest.raises(IdentityDamaged, match=name):
        open_identity(tmp_path)
    assert path.read_bytes() == content


def test_a_key_of_another_kind_is_told(identity: Identity, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    (folder / SIGNING).write_bytes((folder / EXCHANGE).read_bytes())
    with pytest.raises(IdentityDamaged, match="another kind"):
        open_identity(tmp_path)


@pytest.mark.parametrize("name", [SIGNING, EXCHANGE, TLS])
def test_a_power_cut_between_two_files_leaves_what_the_next_start_completes(
    name: str, identity: Identity, tmp_path: Path
) -> None:
    (tmp_path / FOLDER / name).unlink()
    again = open_identity(tmp_path)
    assert (again.fingerprint == identity.fingerprint) is (name != SIGNING)
    context = read_tls(Settings(), Listen("0.0.0.0", 0), again.tls)
    assert context is not None, "key and certificate belong together"


def test_the_certificate_is_made_anew_for_new_names_and_the_keys_stay(
    identity: Identity, tmp_path: Path
) -> None:
    again = open_identity(tmp_path, ["new.example"])
    assert again.fingerprint == identity.fingerprint
    assert again.tls_fingerprint != identity.tls_fingerprint
    assert open_identity(tmp_path).tls_fingerprint == again.tls_fingerprint, "fewer names need no new one"


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert known_identity(tmp_path / "none") is None
    assert list(tmp_path.iterdir()) == []


async def test_browsers_that_trust_the_certificate_reach_it_by_every_name(
    identity: Identity, tmp_path: Path
) -> None:
    context = read_tls(Settings(), Listen("192.0.2.7", 443), identity.tls)
    assert read_tls(Settings(), Listen("127.0.0.1", 80), identity.tls) is None
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(identity.tls.certificate))
    try:
        for name in ("camera.example", "192.0.2.7", "localhost", "127.0.0.1"):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="other.example")
    finally:
        server.close()


def test_the_certificate_outlives_the_wall_and_a_clock_that_starts_in_1970(identity: Identity) -> None:
    certificate = x509.load_pem_x509_certificate(identity.tls.certificate.read_bytes())
    assert (certificate.not_valid_before_utc.year, certificate.not_valid_after_utc.year) == (2020, 9999)
