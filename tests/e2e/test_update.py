"""A camera takes version 2, refuses a tampered copy of it, and gives a broken version 3 up."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware.access.identity import open_identity
from firmware.config.model import ModelCache
from tests.update.test_fetch import Server, serving

pytestmark = [pytest.mark.models, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
RUN = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
VEILCAM_ICE_ADDRESSES=loopback PYTHONPATH="$here" exec {python} -m firmware "$@"
"""


class Bench:
    """A device's state folder and its authors' repository."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.repository = folder, folder / "state", folder / "repository"
        open_identity(self.state)
        self.key = self.ota("keys", "device", "--state", self.state).stdout.strip()
        self.ota("keys", "create", self.repository)
        self.ota("trust", self.repository / "metadata" / "1.root.json", "--state", self.state)

    def ota(self, *words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "firmware", "ota", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stderr
        return done

    def build(self, counter: int, run: str, *more: object) -> Path:
        """Build a version: this very firmware, started by a script of its own."""
        version, bundle = self.folder / f"v{counter}", self.folder / f"v{counter}.vup"
        for name in ("firmware", "ota", "boards", "models"):
            shutil.copytree(ROOT / name, version / name, ignore=shutil.ignore_patterns("__pycache__"))
        (version / "run").write_text(run)
        (version / "run").chmod(0o755)
        about = [
            "--version",
            f"{counter}.0",
            "--counter",
            counter,
            "--board",
            "laptop",
            "--recipient",
            self.key,
        ]
        self.ota("build", version, bundle, "--repository", self.repository, *about, *more)
        return bundle

    def install(self, bundle: Path | str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return self.ota("install", bundle, "--state", self.state, "--board", "laptop", status=status)

    def status(self) -> dict[str, object]:
        told = self.ota("status", "--state", self.state, "--board", "laptop", "--json").stdout
        return dict(json.loads(told))

    def recorded(self) -> list[dict[str, dict[str, object]]]:
        """What the record says of updates, newest first."""
        command = [sys.executable, "-m", "firmware", "audit", "show", "--json", "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return [one for one in json.loads(done.stdout)["entries"] if one["what"].startswith("update.")]

    @contextmanager
    def started(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """Start the camera as systemd does; gives its first line."""
        run = ["run", "--board", "laptop", "--listen", "127.0.0.1:0", "--state", str(self.state)]
        command = [sys.executable, "-m", "firmware", "ota", "boot", "--state", str(self.state), "--", *run]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process, process.stdout.readline()
            finally:
                process.terminate()
                process.wait(20)


def running_code(process: subprocess.Popen[str]) -> str:
    """Return where a process has its code from."""
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
    found = [line.partition("=")[2] for line in environment if line.startswith("PYTHONPATH=")]
    return found[0] if found else ""


def test_a_camera_takes_an_update_and_gives_a_broken_one_up(tmp_path: Path, model_cache: ModelCache) -> None:
    bench = Bench(tmp_path)
    second = bench.build(2, RUN.format(python=sys.executable))
    with bench.started() as (process, line):
        assert line.startswith("ready http://127.0.0.1:")
        assert "versions" not in running_code(process)
        tampered = tmp_path / "tampered.vup"
        content = bytearray(second.read_bytes())
        content[-100] ^= 1
        tampered.write_bytes(bytes(content))
        assert "CORRUPT" in bench.install(tampered, status=80).stderr
        server = Server(second.read_bytes())
        server.cut = len(server.content) * 2 // 3
        with serving(server) as url:
            assert "armed" in bench.install(url).stdout
        assert process.wait(20) == 0, "nobody sees the raw picture: it starts again by itself"
        acts = bench.recorded()
        assert [act["what"] for act in acts] == ["update.ended", "update.begun"] * 2
        assert "CORRUPT" in str(acts[2]["about"]["refused"])
        assert acts[0]["about"]["phase"] == "armed"
        assert len(server.asked) == 2, "it broke off, and went on"
    with bench.started() as (process, line):
        assert line.startswith("ready http://127.0.0.1:")
        assert "/slots/versions/" in running_code(process)
        deadline = time.monotonic() + 100
        while bench.status()["phase"] != "idle":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        told = bench.status()
        assert (told["counter"], told["last"]) == (2, "version 2.0 was confirmed")
        assert float(str(told["recall"])) > 0.9, "what its self-test has hidden"
        assert bench.recorded()[0]["about"]["last"] == "version 2.0 was confirmed"
    bench.install(bench.build(3, "#!/bin/sh\nexit 3\n", "--delta-from", bench.folder / "v2"))
    with bench.started() as (process, line):
        assert (line, process.wait(20)) == ("", 3)
    with bench.started() as (process, line):
        assert line.startswith("ready http://127.0.0.1:")
        assert str(told["running"]) in running_code(process)
        last = bench.status()
        assert last["counter"] == 2
        assert last["last"] == "version 3.0 was rolled back: it was tried and did not confirm itself"
        assert "QUARANTINED" in bench.install(tmp_path / "v3.vup", status=80).stderr
    other = bench.folder / "other"
    bench.ota("keys", "create", other)
    refused = bench.ota("trust", other / "metadata" / "1.root.json", "--state", bench.state, status=80)
    assert "trusts another root" in refused.stderr
