"""Authors whose keys are in a token (SoftHSM2): what it signs verifies, and without it nothing is signed."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware.access.identity import open_identity

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
LABEL, RIGHT_PIN = "authors", "1234"
LOOK = """
import sys, pkcs11
from pkcs11 import Attribute, ObjectClass
token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(user_pin=sys.argv[3]) as session:
    for key in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}):
        try:
            key[Attribute.VALUE]
        except pkcs11.AttributeSensitive:
            print(key.label)
"""


@dataclass
class Author:
    """An author's computer: a repository, and a drawer that tokens lie in."""

    folder: Path
    drawer: Path
    pin: str | None = RIGHT_PIN

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def env(self) -> Mapping[str, str]:
        env = {**os.environ, "SOFTHSM2_CONF": str(self.drawer / "softhsm2.conf")}
        env.pop("VEILCAM_TOKEN_PIN", None)
        return env if self.pin is None else {**env, "VEILCAM_TOKEN_PIN": self.pin}

    def call(self, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, command)],
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=60,
        )

    def ota(self, *words: object) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "firmware", "ota", *words)

    def create(self, *more: object) -> None:
        made = self.ota("keys", "create", self.repository, "--token", MODULE, "--token-label", LABEL, *more)
        assert made.returncode == 0, made.stderr

    def build(self, counter: int = 1) -> subprocess.CompletedProcess[str]:
        state, version = self.folder / "state", self.folder / "version"
        open_identity(state)
        version.mkdir(exist_ok=True)
        (version / "run").write_text("#!/bin/sh\n")
        key = self.ota("keys", "device", "--state", state).stdout.strip()
        return self.ota(
            "build", version, self.folder / "update.vup", "--repository", self.repository, "--version",
            f"1.{counter}", "--counter", counter, "--board", "laptop", "--recipient", key,
        )  # fmt: skip

    def verify(self) -> subprocess.CompletedProcess[str]:
        anchor = self.repository / "metadata" / "1.root.json"
        return self.ota(
            "verify", self.folder / "update.vup", "--anchor", anchor, "--board", "laptop", "--json"
        )

    def files(self) -> dict[str, bytes]:
        paths = sorted(self.repository.rglob("*"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}


def drawer(folder: Path, *labels: str) -> Path:
    """A place for tokens of SoftHSM2, with tokens of these labels."""
    (folder / "tokens").mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    for label in labels:
        subprocess.run(
            [
                "softhsm2-util", "--init-token", "--free", "--label", label,
                "--so-pin", "12345678", "--pin", RIGHT_PIN,
            ],
            env={**os.environ, "SOFTHSM2_CONF": str(conf)},
            check=True,
            capture_output=True,
            timeout=30,
        )  # fmt: skip
    return folder


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path, drawer(tmp_path / "drawer", LABEL))


def told_in_one_line(done: subprocess.CompletedProcess[str], status: int = 16) -> str:
    assert done.returncode == status, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("algorithm", ["ed25519", "p256"])
def test_what_a_token_signs_verifies_and_its_keys_stay_in_it(author: Author, algorithm: str) -> None:
    author.create("--algorithm", algorithm)
    assert {path.suffix for path in (author.repository / "keys").iterdir()} == {".p11"}
    assert author.build().returncode == 0
    assert json.loads(author.verify().stdout)["verified"]
    looked = author.call(sys.executable, "-c", LOOK, MODULE, LABEL, RIGHT_PIN)
    roles = ["root-1", "root-2", "root-3", "snapshot-1", "targets-1", "timestamp-1"]
    assert sorted(looked.stdout.split()) == [f"repository/{role}" for role in roles], looked.stderr
    root = json.loads((author.repository / "metadata" / "1.root.json").read_bytes())["signed"]
    assert {key["keytype"] for key in root["keys"].values()} == {
        {"ed25519": "ed25519", "p256": "ecdsa"}[algorithm]
    }


def test_keys_move_from_files_into_a_token_role_by_role(author: Author) -> None:
    assert author.ota("keys", "create", author.repository).returncode == 0
    token = ("--token", MODULE, "--token-label", LABEL)
    for role in ("targets", "root", "root", "root"):
        moved = author.ota("keys", "rotate", author.repository, role, *token)
        assert moved.returncode == 0, moved.stderr
    for path in (author.repository / "keys").glob("root-?.pem"):
        path.unlink()
    assert author.ota("keys", "rotate", author.repository, "snapshot").returncode == 0
    assert author.build().returncode == 0
    assert json.loads(author.verify().stdout)["verified"]


def test_a_root_that_waits_is_signed_by_tokens_elsewhere(author: Author) -> None:
    author.create()
    repository, waits = author.repository, author.repository / "pending" / "2.root.json"
    told = author.ota("keys", "rotate", repository, "targets", "--by", "root-3")
    assert "waits for root keys" in told.stdout, told.stderr
    key = repository / "keys" / "root-1.p11"
    assert author.ota("keys", "sign", waits, "--key", key).returncode == 0
    assert author.ota("keys", "publish", repository).returncode == 0
    assert author.build().returncode == 0
    assert author.verify().returncode == 0


@pytest.mark.parametrize("pin", ["4321", "1", "x" * 300])
def test_h01_a_wrong_pin_signs_nothing_and_the_right_one_does_then(author: Author, pin: str) -> None:
    author.create()
    before = author.files()
    author.pin = pin
    assert "the PIN is wrong" in told_in_one_line(author.build())
    assert author.files() == before
    assert not (author.folder / "update.vup").exists()
    author.pin = RIGHT_PIN
    assert author.build().returncode == 0


def test_h01_a_token_that_is_away_signs_nothing_and_nothing_else_does(author: Author) -> None:
    author.create()
    here, away = author.drawer, drawer(author.folder / "empty", "another")
    plain = author.folder / "plain"
    assert author.ota("keys", "create", plain).returncode == 0
    # A plain key that nobody signed for stands beside the token's: it is not taken for it.
    keys = author.repository / "keys"
    (keys / "targets-2.pem").write_bytes((plain / "keys" / "targets-1.pem").read_bytes())
    before = author.files()
    author.drawer = away
    for done in (author.build(), author.ota("keys", "rotate", author.repository, "targets")):
        assert "is not there; insert it" in told_in_one_line(done)
    made = {f"repository/keys/targets-r2{suffix}" for suffix in (".pem", ".p11")}
    assert {name: text for name, text in author.files().items() if name not in made} == before
    author.drawer = here
    assert author.ota("keys", "rotate", author.repository, "targets").returncode == 0, (
        "after a try that failed"
    )
    assert author.build().returncode == 0
    assert author.verify().returncode == 0


def test_h01_a_name_with_two_keys_is_no_choice(author: Author) -> None:
    author.create()
    (author.repository / "keys" / "targets-1.pem").write_text("")
    assert "two keys of one name" in told_in_one_line(author.build(), 10)


def test_h01_a_key_that_is_nowhere_publishes_nothing(author: Author) -> None:
    author.create()
    (author.repository / "keys" / "snapshot-1.p11").unlink()
    before = author.files()
    assert "no key is here that may sign snapshot" in told_in_one_line(author.build())
    assert author.files() == before


def test_another_key_under_the_right_label_is_found_before_anything_is_published(author: Author) -> None:
    author.create()
    before = author.files()
    double = Author(author.folder / "double", drawer(author.folder / "other", LABEL))
    double.create()
    author.drawer = double.drawer
    assert "is not the one of the repository" in told_in_one_line(author.build())
    assert author.files() == before


def test_two_repositories_of_one_name_do_not_share_a_token(author: Author) -> None:
    author.create()
    made = author.ota(
        "keys", "create", author.folder / "b" / "repository", "--token", MODULE, "--token-label", LABEL
    )
    assert "there is a key 'repository/root-1' already" in told_in_one_line(made)
    assert not (author.folder / "b" / "repository").exists(), "nothing half made"


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--token", "/nothing.so", "--token-label", LABEL], 16, "/nothing.so cannot be loaded"),
        (["--token", MODULE, "--token-label", "nobody"], 16, "is not there; insert it"),
        (["--token", MODULE], 2, "give both"),
        (["--token-label", LABEL], 2, "give both"),
    ],
)
def test_a_token_that_is_none(author: Author, words: list[str], status: int, text: str) -> None:
    assert text in told_in_one_line(author.ota("keys", "create", author.repository, *words), status)
    assert not author.repository.exists(), "nothing half made"


def typed(author: Author, words: Sequence[str], pin: str) -> tuple[str, int]:
    """Type a PIN once it is asked for, or end the input; returns what the terminal showed until then."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "firmware", "ota", *words]
    with subprocess.Popen(command, env=author.env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while not shown.endswith(b": "):
            shown += os.read(ours, 1)
        os.write(ours, pin.encode() + b"\n" if pin else b"\x04")
        rest = b""
        with contextlib.suppress(OSError):  # a terminal whose program has ended
            while part := os.read(ours, 1024):
                rest += part
        status = process.wait(30)
    os.close(ours)
    assert pin == "" or pin.encode() not in rest
    return shown.decode().strip(), status


def test_the_pin_is_asked_for_on_a_terminal_and_not_shown(author: Author) -> None:
    author.pin = None
    words = ("keys", "create", str(author.repository), "--token", MODULE, "--token-label", LABEL)
    assert "set VEILCAM_TOKEN_PIN" in told_in_one_line(author.ota(*words))
    assert typed(author, words, "") == ("PIN of token authors:", 16)
    assert typed(author, words, RIGHT_PIN) == ("PIN of token authors:", 0)
    assert author.build().returncode == 16


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"module": "x", "token": "t", "key": "k", "public": "p"}',
        '{"module": "/m", "token": "t", "key": "k", "public": "p"}',
        '{"module": "/m", "token": "t", "key": "k", "public": "p", "pin": "1234"}',
    ],
)
def test_a_file_that_names_no_key_is_told(author: Author, content: str) -> None:
    author.create()
    (author.repository / "keys" / "targets-1.p11").write_text(content)
    assert "targets-1.p11: is no key that signs" in told_in_one_line(author.build(), 10)
