"""A real Mosquitto, on loopback unless told otherwise: TLS, client certificates, our own access list."""

import contextlib
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.remote.pki import Authority, Pair

SHIPPED = Path(__file__).resolve().parents[2] / "firmware" / "remote" / "mosquitto"
READY_S = 10.0


class Mosquitto:
    """One broker, its authority, and its files in a folder."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.address = folder, address
        self.authority = Authority(folder / "pki")
        self.server = self.authority.issue("server", at=address)
        self.operator = self.authority.issue("operator")
        self.port = _free_port(address)
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copy(SHIPPED / "acl", folder / "acl")
        told = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8")
        for name, value in {
            "LISTEN": f"{self.port} {address}",
            "AUTHORITY": self.authority.certificate,
            "CERTIFICATE": self.server.certificate,
            "KEY": self.server.key,
            "REVOKED": self.authority.revoked,
            "ACL": folder / "acl",
            "DATA": folder,
        }.items():
            told = told.replace(f"@{name}@", str(value))
        # As root in a folder that is root's alone; a broker that is installed has a user of its own.
        (folder / "mosquitto.conf").write_text(
            f"user root\n{told}\nlog_dest file {folder}/log\nlog_type all\n"
        )

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with (self.folder / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                [program, "-c", str(self.folder / "mosquitto.conf")],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (most, most))
        until = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 0.5):
                return
            assert self._process.poll() is None, (self.folder / "stderr").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def reload(self) -> None:
        """Have it read its access list and the revoked certificates again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def tool(self, name: str, *words: str, who: Pair | None = None, wait_s: int = 15) -> str:
        """Run mosquitto_pub or mosquitto_sub as an operator does; returns what it prints.

        A mosquitto_sub whose own deadline (-W) comes before it is connected waits for ever: it is ended here.
        """
        pair = who or self.operator
        where = ["-h", self.address, "-p", str(self.port), "--cafile", str(self.authority.certificate)]
        as_whom = ["--cert", str(pair.certificate), "--key", str(pair.key), "-V", "5"]
        command = [f"mosquitto_{name}", *where, *as_whom, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=wait_s + 5)
        except subprocess.TimeoutExpired as exc:
            if name == "pub":
                raise
            return exc.stdout.decode() if isinstance(exc.stdout, bytes) else ""
        assert done.returncode in (0, 27), done.stderr
        return done.stdout


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[Mosquitto]:
    """A broker for the length of the block."""
    broker = Mosquitto(folder, address)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
