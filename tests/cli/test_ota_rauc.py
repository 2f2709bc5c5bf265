"""Bundles for RAUC, as Debian's RAUC takes and refuses them (I02)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.rauc_keys import make_rauc_keys

CONTENT = os.urandom(700_001)


class Shop:
    """A folder with keys and images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images, self.temp = folder / "images", folder / "temp"
        self.images.mkdir()
        self.temp.mkdir()
        (self.images / "root.img").write_bytes(CONTENT)
        make_rauc_keys(folder)

    def veilcam(self, *more: str, key: str = "signer") -> subprocess.CompletedProcess[str]:
        words = ["--compatible", "cam", "--version", "7", "--cert", f"{key}.pem", "--key", f"{key}.key"]
        words += ["--keyring", "ca.pem", *more]
        command = [sys.executable, "-m", "firmware", "ota", "rauc", "images", "out.raucb", *words]
        return self.run(command)

    def build(self) -> Path:
        done = self.veilcam("--to", "device.pem", "--to", "device2.pem")
        assert done.returncode == 0, done.stderr
        return self.folder / "out.raucb"

    def rauc(self, *words: str, key: str = "device", ca: str = "ca") -> subprocess.CompletedProcess[str]:
        return self.run(["rauc", "--keyring", f"{ca}.pem", "--key", f"{key}.key", *words])

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).resolve().parents[2]
        env = {**os.environ, "TMPDIR": str(self.temp), "PYTHONPATH": str(root)}
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("key", ["device", "device2"])
def test_debians_rauc_takes_it_with_each_recipients_key(shop: Shop, key: str) -> None:
    bundle = shop.build()
    told = shop.rauc("info", "--output-format=json", str(bundle), key=key)
    assert told.returncode == 0, told.stderr
    assert '"compatible":"cam"' in told.stdout
    assert '"version":"7"' in told.stdout
    assert shop.rauc("extract", str(bundle), "x", key=key).returncode == 0
    assert (shop.folder / "x" / "root.img").read_bytes() == CONTENT


def test_it_leaves_nothing_behind_and_shows_nothing(shop: Shop) -> None:
    before = {path.name for path in shop.folder.iterdir()}
    bundle = shop.build()
    assert {path.name for path in shop.folder.iterdir()} == before | {"out.raucb"}
    assert list(shop.temp.iterdir()) == []
    assert CONTENT[:64] not in bundle.read_bytes()
    assert (shop.images / "root.img").read_bytes() == CONTENT
    shop.build()
    assert {path.name for path in shop.folder.iterdir()} == before | {"out.raucb"}


def test_another_key_another_ca_and_a_flipped_byte_are_refused(shop: Shop) -> None:
    bundle = shop.build()
    assert shop.rauc("info", str(bundle), key="stranger").returncode == 1
    assert shop.rauc("info", str(bundle), ca="other").returncode == 1
    content = bytearray(bundle.read_bytes())
    content[300_000] ^= 0xFF
    bundle.write_bytes(content)
    assert shop.rauc("info", str(bundle)).returncode == 0, "info looks at the signature alone"
    assert shop.rauc("extract", str(bundle), "x").returncode == 1
    content[300_000] ^= 0xFF
    content[-600] ^= 0xFF
    bundle.write_bytes(content)
    assert shop.rauc("info", str(bundle)).returncode == 1


def test_a_signer_whom_the_keyring_does_not_know_makes_no_bundle(shop: Shop) -> None:
    done = shop.veilcam("--to", "device.pem", key="other-signer")
    assert done.returncode == 10
    assert "check --cert, --key, --keyring and --to" in done.stderr
    assert not (shop.folder / "out.raucb").exists()
    assert not [path for path in shop.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("names", [[], ["root.img", "run"]])
def test_a_folder_that_holds_something_else_is_refused(shop: Shop, names: list[str]) -> None:
    (shop.images / "root.img").unlink()
    for name in names:
        (shop.images / name).write_bytes(b"x")
    done = shop.veilcam("--to", "device.pem")
    assert done.returncode == 10
    assert "root.img or boot.img" in done.stderr


def test_a_machine_without_rauc_is_told_what_to_install(shop: Shop) -> None:
    empty = shop.folder / "empty"
    empty.mkdir()
    words = [sys.executable, "-m", "firmware", "ota", "rauc", "images", "out.raucb", "--compatible", "cam"]
    words += ["--version", "7", "--cert", "c", "--key", "k", "--keyring", "r", "--to", "t"]
    done = shop.run(["env", f"PATH={empty}", *words])
    assert done.returncode == 20
    assert "apt install rauc squashfs-tools" in done.stderr
