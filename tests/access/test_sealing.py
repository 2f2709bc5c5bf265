"""Keys that are bound to a TPM (swtpm): the card alone is worth nothing, and a damaged one is told."""

import asyncio
import shutil
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware.access.identity import CERTIFICATE, FOLDER, known_identity, open_identity
from firmware.access.keystore import EXCHANGE, FILES, HPKE, SIGNING
from firmware.access.sealing import BOUND, TPM
from firmware.access.tpm import Tpm, TpmCounter
from firmware.config.settings import Settings
from firmware.errors import IdentityDamaged, KeyUnavailable
from firmware.stream.listen import Listen, read_tls
from firmware.update.device import DeviceKey
from ota.bundle import read_bundle
from ota.errors import Code, UpdateRefused
from ota.stanza import unwrap
from tests.ota.workshop import Workshop
from tests.soft_tpm import SoftTpm


@pytest.fixture
def state(tpm: SoftTpm, tmp_path: Path) -> Path:
    """The state folder of a device that is bound to its TPM."""
    open_identity(tmp_path / "state", ["camera.example"], TPM)
    return tmp_path / "state"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SoftTpm]:
    """The TPM of another machine."""
    made = SoftTpm(tmp_path / "other").start()
    yield made
    made.stop()


def test_no_key_lies_in_the_folder_in_the_clear(state: Path) -> None:
    folder = state / FOLDER
    assert {path.name for path in folder.iterdir()} == {*FILES, CERTIFICATE, BOUND}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    for name in FILES:
        assert (folder / name).read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_it_is_the_same_device_after_a_power_cut_whatever_the_board_says(state: Path, tpm: SoftTpm) -> None:
    before = open_identity(state)
    content = {path.name: path.read_bytes() for path in (state / FOLDER).iterdir()}
    tpm.stop()
    tpm.start()
    again = open_identity(state, ["camera.example"])
    assert (again.fingerprint, again.tls_fingerprint) == (before.fingerprint, before.tls_fingerprint)
    assert {path.name: path.read_bytes() for path in (state / FOLDER).iterdir()} == content
    known = known_identity(state)
    assert known is not None
    assert known.fingerprint == before.fingerprint


def test_many_power_cuts_lock_nobody_out(state: Path, tpm: SoftTpm) -> None:
    """A TPM that guards against guessing counts a power cut as a guess; this one locks after three."""
    for _ in range(12):
        before = open_identity(state)
        tpm.stop()
        tpm.start()
        assert open_identity(state).fingerprint == before.fingerprint


def test_its_keys_do_what_they_are_for(state: Path) -> None:
    keys = open_identity(state).keys
    public = Ed25519PublicKey.from_public_bytes(keys.signing_public)
    public.verify(keys.sign(b"said"), b"said")
    with pytest.raises(InvalidSignature):
        public.verify(keys.sign(b"said"), b"sais")
    sealed = HPKE.encrypt(b"content key", X25519PublicKey.from_public_bytes(keys.exchange_public), b"info")
    assert keys.unwrap(sealed, b"info") == b"content key"
    with pytest.raises(InvalidTag):
        keys.unwrap(sealed, b"other")


async def test_browsers_reach_it_by_its_encrypted_tls_key(state: Path) -> None:
    identity = await asyncio.to_thread(open_identity, state, ["camera.example"])
    context = read_tls(Settings(), Listen("192.0.2.7", 443), identity.tls)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(identity.tls.certificate))
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="camera.example"
        )
        served = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
    finally:
        server.close()
    assert ("DNS", "camera.example") in served["subjectAltName"]


def test_neither_password_shows_where_it_is_printed(state: Path) -> None:
    identity = open_identity(state)
    assert identity.tls.password
    assert identity.tls.password not in repr(identity)
    assert isinstance(identity.counter, TpmCounter)
    assert identity.counter.password not in repr(identity)


def test_a_folder_with_keys_in_files_stays_one(tpm: SoftTpm, tmp_path: Path) -> None:
    before = open_identity(tmp_path / "plain")
    again = open_identity(tmp_path / "plain", kind=TPM)
    assert (again.fingerprint, again.counter) == (before.fingerprint, None)


def test_h04_a_tpm_that_was_cleared_is_told_and_updates_still_verify(
    state: Path, tpm: SoftTpm, tmp_path: Path
) -> None:
    shop = Workshop(tmp_path / "authors")
    release, bundle = shop.build()
    before = {path.name: path.read_bytes() for path in (state / FOLDER).iterdir()}
    tpm.tool("clear", "-c", "p")
    with pytest.raises(IdentityDamaged, match="its TPM was cleared: start with an empty state folder"):
        open_identity(state)
    assert {path.name: path.read_bytes() for path in (state / FOLDER).iterdir()} == before
    (tmp_path / "bundle").write_bytes(bundle)
    with (tmp_path / "bundle").open("rb") as file:
        assert shop.verify(dict(read_bundle(file).files)).release.counter == 1
    anew = open_identity(tmp_path / "new", kind=TPM)
    with pytest.raises(UpdateRefused) as caught:
        unwrap(release, DeviceKey(anew))
    assert caught.value.code is Code.NOT_FOR_ME


def test_h05_a_copy_of_the_card_is_nobody_in_another_machine(
    state: Path, tpm: SoftTpm, other: SoftTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(state, copy)
    monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti)
    for kind in ("file", TPM):
        with pytest.raises(IdentityDamaged, match="did not seal the keys of this device"):
            open_identity(copy, kind=kind)
    monkeypatch.setenv("TPM2TOOLS_TCTI", tpm.tcti)
    assert open_identity(copy).fingerprint == open_identity(state).fingerprint


def test_a_machine_without_a_tpm_makes_no_keys_and_opens_none(
    state: Path, tpm: SoftTpm, tmp_path: Path
) -> None:
    tpm.stop()
    for folder in (state, tmp_path / "new"):
        with pytest.raises(KeyUnavailable, match="no TPM at"):
            open_identity(folder, kind=TPM)
    assert not (tmp_path / "new").exists()


def test_without_the_tools_what_to_install_is_told(
    tpm: SoftTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware.access.tpm.PATH", "/nowhere")
    with pytest.raises(KeyUnavailable, match="apt install tpm2-tools"):
        open_identity(tmp_path / "new", kind=TPM)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"public": "?", "private": "", "counter": 1, "begins": 1}']
)
def test_a_damaged_binding_is_told_and_not_replaced(content: bytes, state: Path) -> None:
    path = state / FOLDER / BOUND
    path.write_bytes(content)
    with pytest.raises(IdentityDamaged, match=BOUND):
        open_identity(state, kind=TPM)
    assert path.read_bytes() == content


def test_a_binding_that_was_taken_away_opens_nothing(state: Path) -> None:
    (state / FOLDER / BOUND).unlink()
    with pytest.raises(IdentityDamaged):
        open_identity(state, kind=TPM)


@pytest.mark.parametrize("name", [SIGNING, EXCHANGE])
def test_a_key_that_somebody_put_there_in_the_clear_is_none(name: str, state: Path, tmp_path: Path) -> None:
    open_identity(tmp_path / "theirs")
    shutil.copy(tmp_path / "theirs" / FOLDER / name, state / FOLDER / name)
    with pytest.raises(IdentityDamaged, match=name):
        open_identity(state)


def test_a_power_cut_before_the_first_key_leaves_what_the_next_start_completes(
    state: Path, tmp_path: Path
) -> None:
    for name in (*FILES, CERTIFICATE):
        (state / FOLDER / name).unlink()
    anew = open_identity(state)
    assert anew.counter is not None
    assert open_identity(state).fingerprint == anew.fingerprint


def test_nothing_secret_is_an_argument_or_stays_in_memory(
    tpm: SoftTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "create",
        "createprimary",
        "load",
        "unseal",
        "nvdefine",
        "nvread",
        "nvincrement",
        "flushcontext",
    ):
        tool = tools / f"tpm2_{name}"
        tool.write_text(f'#!/bin/sh\necho "$0 $@" >> {log}\nexec /usr/bin/tpm2_{name} "$@"\n')
        tool.chmod(0o755)
    monkeypatch.setattr("firmware.access.tpm.PATH", f"{tools}:/usr/bin:/bin")
    memory = Path("/dev/shm")  # noqa: S108 - only looked into
    left = set(memory.iterdir())
    secret = b"0123456789abcdef0123456789abcdef"
    sealed = Tpm().seal(secret)
    assert Tpm().unseal(sealed) == secret
    index = Tpm().make_counter("password of the counter")
    Tpm().raise_counter(index, "password of the counter")
    assert Tpm().read_counter(index, "password of the counter") >= 1
    said = log.read_text()
    assert "tpm2_unseal" in said
    assert secret.decode() not in said
    assert secret.hex() not in said
    assert "password of" not in said
    assert [path for path in set(memory.iterdir()) - left if path.name.startswith("veilcam-tpm-")] == []
    assert secret not in sealed.public + sealed.private


def test_a_counter_counts_for_its_password_alone(tpm: SoftTpm) -> None:
    index = Tpm().make_counter("right")
    Tpm().raise_counter(index, "right")
    before = Tpm().read_counter(index, "right")
    for call in (lambda: Tpm().raise_counter(index, "wrong"), lambda: Tpm().read_counter(index, "wrong")):
        with pytest.raises(KeyUnavailable, match="the TPM does not"):
            call()
    assert Tpm().read_counter(index, "right") == before
