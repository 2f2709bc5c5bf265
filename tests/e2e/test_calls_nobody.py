"""Every verb calls nobody it was not told to call, and writes nothing where it was not told to write."""

import argparse
import asyncio
import base64
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from firmware.access.identity import Identity
from firmware.access.keyfile import make_owner_key
from firmware.access.people import new_person
from firmware.cli.parser import VERBS, build
from firmware.config.model import ModelCache, load_manifests
from firmware.core.policy import PEOPLE
from firmware.desk import open_desk
from firmware.ports import SystemClock
from firmware.remote.enrolment import Enrolment
from firmware.remote.topics import device_of
from firmware.update.device import trust
from ota.author import Notes, Repository, pack, read_key, sign_root
from ota.author import build as build_update
from ota.release import Privacy
from ota.stanza import read_public
from tests.cli.rauc_keys import make_rauc_keys
from tests.e2e.watched import Room, Told, Watched, room
from tests.remote.pki import Authority

pytestmark = pytest.mark.timeout(120)

QUICK = (
    "--help",
    "doctor",
    "doctor --state {told}/state",
    "owner keygen {out}/owner.key --no-passphrase",
    "owner sign hide=faces --key {told}/owner.key --device x --revision 2",
    "owner allow-update x --counter 2 --key {told}/owner.key --device x",
    "settings check {told}/settings.toml",
    "settings show --state {out}",
    "settings schema",
    "users list --state {out}",
    "users add ada --state {out}",
    "users roles eve --role auditor --state {told}/state",
    "users reset eve --state {told}/state",
    "users remove eve --state {told}/state",
    "grants list --state {out}",
    "audit show --state {out}",
    "audit export {out}/record --state {out}",
    "audit verify --state {told}/state",
    "settings set contact=me --state {out}",
    "remote status --state {told}/state",
    "remote install {told}/client.pem --state {told}/state",
    "remote request --state {told}/state",
    "ota keys create {out}/repository",
    "ota keys rotate {told}/other targets",
    "ota keys sign {told}/repository/pending/2.root.json --key {told}/root-1.pem",
    "ota keys publish {told}/repository",
    "ota keys device --state {told}/state",
    "ota build {input} {out}/bundle --repository {told}/repository --version 2 --counter 2 --board laptop"
    " --recipient {key}",
    "ota inspect {told}/bundle",
    "ota rauc {told}/images {out}/update.raucb --compatible laptop --version 1 --cert {told}/signer.pem"
    " --key {told}/signer.key --keyring {told}/ca.pem --to {told}/device.pem",
    "ota verify {told}/bundle --anchor {told}/repository/metadata/1.root.json --board laptop",
    "ota trust {told}/repository/metadata/1.root.json --state {out}",
    "ota install {told}/bundle --state {told}/state",
    "ota status --state {told}/state",
    "ota confirm --state {told}/state",
    "ota rollback --state {told}/state",
    "boards detect",
    "boards list",
    "boards check",
    "models list",
    "models verify",
    "models fetch",
    "bench pipeline --seconds 2",
    "bench sizes --picture 320x240",
    "redact {input} {out}/files --pace realtime --regions {out}/regions.json",
    "redact {input} {out}/files --pace thorough --regions {out}/regions.json",
)
"""Every verb but `run`, which does not end by itself."""

SESSION = """
import sys, time, onnxruntime
onnxruntime.InferenceSession(sys.argv[1])
time.sleep(60)
"""
UNTOLD = Told()
OWN_CAMERA = re.compile(r'unix "/proc/self/fd/\d+/control\.sock"')
"""In the folder of `--state`."""
NAMES = 'unix "/var/run/nscd/socket"'
"""Where Debian's rauc has the C library look for the names of files' owners, on this machine."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with room(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small picture and a clip of half a second."""
    folder = tmp_path_factory.mktemp("media")
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    assert cv2.imwrite(str(folder / "picture.jpg"), noise)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(15):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode(None))
    return folder


def leaves(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every verb, with its action where it has some."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not nested:
        yield parser.prog.partition(" ")[2]
    for action in nested:
        for child in action.choices.values():
            yield from leaves(child)


def python(alone: Room, code: str, *args: str) -> Watched:
    return alone.watch([sys.executable, "-c", code, *args], {})


def onnx_file(cache: ModelCache) -> Path:
    held = [(m, a) for m in load_manifests().values() for a in m.artefacts.values() if a.runtime == "onnx"]
    return next(cache.path(artefact) for manifest, artefact in held if cache.has(artefact))


def until(met: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(met())


def prepare_remote(told: Path, identity: Identity) -> None:
    """Have a request of the device signed."""
    device = device_of(identity.fingerprint)
    request = x509.load_pem_x509_csr(Enrolment(told / "state", device, SystemClock()).request().encode())
    key = request.public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    (told / "client.pem").write_bytes(Authority(told / "authority").sign(device, key))


def prepare_update(verb: str, told: Path, identity: Identity) -> None:
    """Make a repository that the device trusts, and a bundle of nothing for it."""
    repository, plain = Repository(told / "repository"), io.BytesIO()
    repository.create()
    trust(told / "state", repository.anchor())
    (told / "version").mkdir()
    Repository(told / "other").create()
    waits = repository.rotate("snapshot", ["root-2"])
    assert waits is not None
    shutil.copy(told / "repository" / "keys" / "root-1.pem", told)
    if verb.startswith("ota rauc"):
        make_rauc_keys(told)
        (told / "images").mkdir()
        (told / "images" / "root.img").write_bytes(os.urandom(20_000))
    if verb == "ota keys publish {told}/repository":
        sign_root(waits, read_key(told / "root-1.pem"))
    pack(told / "version", plain)
    notes = Notes("1", 1, ("laptop",), Privacy(PEOPLE.digest, 10_000))
    with (told / "bundle").open("wb") as bundle:
        build_update(repository, notes, plain, [read_public(identity.keys.exchange_public)], bundle)


def test_no_verb_is_left_out() -> None:
    assert {leaf for leaf in leaves(build(VERBS)) if not any(case.startswith(leaf) for case in QUICK)} == {
        "run",
        "bench fleet",  # loads a broker: tests/remote/test_load.py
        "bench update",  # runs age and openssl: tests/cli/test_reports.py
        "grants revoke",  # of a running camera: tests/e2e/test_raw.py
        "ota restart",  # restarts the machine: tests/update/boot
        "ota boot",  # becomes another program: tests/e2e/test_update.py
    }


@pytest.mark.models
@pytest.mark.parametrize("verb", QUICK)
def test_a_verb_calls_nobody_and_leaves_nothing(
    verb: str, alone: Room, media: Path, model_cache: ModelCache, tmp_path: Path
) -> None:
    out, cache, env = tmp_path / "out", model_cache.root, {}
    out.mkdir()
    if verb == "models fetch":
        cache, env = tmp_path / "cache", {"VEILCAM_MODELS_FROM": str(model_cache.root)}
    told = tmp_path / "told"
    told.mkdir()
    make_owner_key(told / "owner.key", "", "")
    desk = asyncio.run(open_desk(told / "state", SystemClock()))
    desk.people.put(new_person("eve", ["viewer"], "correct horse"))
    (told / "settings.toml").write_text('contact = "me"')
    key = base64.b64encode(desk.identity.keys.exchange_public).decode()
    prepare_update(verb, told, desk.identity)
    prepare_remote(told, desk.identity)
    words = [word.format(input=media, out=out, told=told, key=key) for word in verb.split()]
    seen = alone.veilcam(*words, VEILCAM_CACHE=str(cache), **env).seen()
    assert seen.status == 0, seen.output
    others = [call for call in seen.calls if not OWN_CAMERA.fullmatch(call)]
    if verb.startswith("ota rauc"):
        others = [call for call in others if call != NAMES]
    assert (others, seen.heard) == ([], [])
    assert seen.strange_files(Told((out, told, cache))) == []


@pytest.mark.models
def test_a_fetch_calls_the_index_it_was_told_and_nobody_else(
    alone: Room, model_cache: ModelCache, tmp_path: Path
) -> None:
    index = {
        "PIP_INDEX_URL": "http://127.0.0.1:8181/simple",
        "npm_config_registry": "http://127.0.0.1:8181/npm/",
    }
    told = Told((tmp_path,), (8181,))
    seen = alone.veilcam("models", "fetch", "astronaut", VEILCAM_CACHE=str(tmp_path), **index).seen()
    assert seen.status == 43, "nobody answers there"
    assert set(seen.calls) == {"127.0.0.1:8181"}
    assert seen.strange_calls(told) == []
    assert seen.strange_files(told) == []


@pytest.mark.models
def test_a_camera_is_silent_for_longer_than_onnxruntime_is_by_itself(
    alone: Room, model_cache: ModelCache, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if tuple(map(int, version("onnxruntime").split(".")[:2])) < (1, 29):
        pytest.skip(f"onnxruntime {version('onnxruntime')} does not talk, which a newer one does")
    model = onnx_file(model_cache)
    with room(tmp_path_factory.mktemp("control")) as other:
        talker = python(other, SESSION, str(model))
        camera = alone.veilcam(
            "run", "--board", "laptop", "--listen", "127.0.0.1:8182", "--state", str(tmp_path),
            VEILCAM_CACHE=str(model_cache.root), VEILCAM_ICE_ADDRESSES="loopback",
        )  # fmt: skip
        assert camera.process.stdout is not None
        first = camera.process.stdout.readline().split()
        assert first[0] == "ready"
        visited = alone.enter([sys.executable, "-m", "tests.e2e.visit", first[1]], {})
        ports, _ = visited.communicate(timeout=30)
        assert visited.returncode == 0
        assert until(lambda: "port 443" in " ".join(other.heard()), 40), "the control has not talked"
        time.sleep(2)
        talker.stop()
        camera.stop()
        talked, seen = talker.seen(), camera.seen()
    told = Told((tmp_path, model_cache.root), [int(port) for port in ports.split()])
    assert any(path.name == "deviceid" for path in talked.strange_files(told))
    assert [call for call in talked.strange_calls(told) if call.endswith((":53", ":443"))]
    assert seen.status == 0
    assert seen.calls, "media went to the visitor"
    assert (seen.strange_calls(told), seen.heard) == ([], [])
    assert seen.strange_files(told) == []


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("socket.socket().connect(('192.0.2.1', 443))", "192.0.2.1:443"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))", "192.0.2.1:9"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 9))", "192.0.2.1:9"),
        ("socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 443))", "2001:db8::1:443"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))", "127.0.0.1:53"),
        ("socket.socket(socket.AF_UNIX).connect_ex('/nobody')", 'unix "/nobody"'),
        ("socket.socket(socket.AF_VSOCK).connect_ex((2, 9))", "family VSOCK"),
        ("threading.Thread(target=socket.socket().connect, args=[('192.0.2.1', 9)]).start()", "192.0.2.1:9"),
        ("os.fork() or socket.socket().connect(('192.0.2.1', 443))", "192.0.2.1:443"),
    ],
)  # fmt: skip
def test_the_watcher_sees_a_call(code: str, call: str, alone: Room) -> None:
    seen = python(alone, f"import os, socket, threading\n{code}").seen()
    assert seen.status == 0
    assert seen.strange_calls(UNTOLD) == [call]


def test_the_watcher_sees_and_hears_who_is_looked_up(alone: Room) -> None:
    seen = python(alone, "import socket; socket.getaddrinfo('somebody.example', 443)").seen()
    assert seen.status == 0
    assert [call for call in seen.strange_calls(UNTOLD) if call.endswith(":53")]
    assert set(seen.heard) == {"name somebody.example"}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("open('a', 'w')", ["a"]),
        ("os.mkdir(f'{HOME}/d'); os.rename(f'{HOME}/d', f'{HOME}/e')", ["d", "e"]),
        ("os.open('.', os.O_TMPFILE | os.O_RDWR)", ["#"]),
        ("os.symlink('/told', f'{HOME}/l'); os.unlink(f'{HOME}/l')", ["l"]),
        ("fd = os.open('.', 0); os.chdir('/'); os.mkdir('b', dir_fd=fd)", ["b"]),
    ],
)  # fmt: skip
def test_the_watcher_sees_what_is_written_at_home(code: str, names: list[str], alone: Room) -> None:
    seen = python(alone, f"import os; HOME = os.environ['HOME']; os.chdir(HOME)\n{code}").seen()
    assert seen.status == 0
    strange = seen.strange_files(UNTOLD)
    assert [path.parent for path in strange] == [alone.home] * len(names)
    assert all(path.name.startswith(name) for path, name in zip(strange, names, strict=True))


@pytest.mark.parametrize(("value", "ends_well"), [("1", True), ("0", False), ("", False)])
def test_onnxruntime_may_not_come_before_firmware_unless_it_is_silenced(value: str, ends_well: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['onnxruntime'] = sys; import firmware"],
        env={"ORT_DISABLE_TELEMETRY": value, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode == 0) is ends_well
    assert ends_well or "import firmware first, or set ORT_DISABLE_TELEMETRY=1" in done.stderr
