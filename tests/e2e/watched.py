"""Runs a command under strace where nobody but the ear can be reached; tells whom it called, what it wrote.

One file is written for each thread, so that no call is cut in two by another thread's.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EAR = (sys.executable, "-m", "tests.e2e.ear")
TALKS = ("connect", "sendto", "sendmsg", "sendmmsg")
OPENS = ("open", "openat", "openat2", "creat")
CHANGES = (
    "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link", "linkat",
    "symlink", "symlinkat", "truncate", "unlink", "unlinkat", "rmdir",
)  # fmt: skip
EVADES = ("io_uring_setup",)
"""By this a program could talk and write with no call that is watched here."""

ANYWHERE_IS_HERE = (
    "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && "
    "{ ip -6 route add local ::/0 dev lo 2>/dev/null || true; } && exec "
)
"""Every address of the world is this machine, so that a call is answered and goes on as it would outside."""

CALL = re.compile(r"(\w+)\((.*?)\)? += (-?\d+|\?)(?:<(.*)>(?:\(deleted\))?)?(?: .*)?$")
ADDRESS = re.compile(
    r'sa_family=AF_(?:INET6?, sin6?_port=htons\((?P<port>\d+)\).*?"(?P<host>[^"]+)"'
    r'|UNIX, sun_path=(?P<path>@?"[^"]*")|(?P<other>\w+))'
)
NAMED = re.compile(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
SILENT_FAMILIES = ("UNSPEC", "NETLINK")
"""UNSPEC undoes a connect; NETLINK asks the kernel for the machine's own addresses."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command was told: folders it may write, and ports of loopback it may call."""

    folders: Sequence[Path] = ()
    ports: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a command did: how it ended, whom it called, what it wrote, and what the ear heard meanwhile."""

    status: int
    output: str
    calls: Sequence[str]
    written: Sequence[Path]
    heard: Sequence[str]

    def strange_calls(self, told: Told) -> list[str]:
        """Return the calls to anybody the command was not told."""
        known = {f"127.0.0.1:{port}" for port in told.ports}
        return sorted({call for call in self.calls if call not in known})

    def strange_files(self, told: Told) -> list[Path]:
        """Return what was made, changed or removed outside the folders the command was told."""
        known = (*told.folders, Path("/dev/null"))
        strange = {p for p in self.written if not any(p.is_relative_to(folder) for folder in known)}
        return sorted(path for path in strange if not is_memory(path))


def is_memory(path: Path) -> bool:
    """Tell what lies in memory and is gone by now: tqdm's lock, and what the verifier of updates works in."""
    ours = path.parts[:3] == ("/", "dev", "shm") and path.parts[3].startswith(("sem.", "veilcam-tuf-"))
    return ours and not path.exists()


def called(line: str) -> Iterator[str]:
    """Read the destinations out of one line of strace."""
    for match in ADDRESS.finditer(line):
        if match["host"]:
            yield f"{ip_address(match['host'])}:{match['port']}"
        elif match["path"]:
            yield f"unix {match['path']}"
        elif match["other"] not in SILENT_FAMILIES:
            yield f"family {match['other']}"


def wrote(name: str, arguments: str, opened: str | None) -> Iterator[Path]:
    """Read what was written out of a call that succeeded."""
    if name in OPENS:
        if name == "creat" or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", arguments):
            yield Path(opened or arguments)
        return
    named = NAMED.findall(arguments)
    # What a symbolic link says is text until somebody opens it.
    for folder, path in named[1:] if name.startswith("symlink") else named:
        # One without a folder is relative to a place not known here; it stays so, and thus strange.
        yield Path(os.path.normpath(Path(folder) / path))


def read_trace(folder: Path) -> tuple[list[str], list[Path]]:
    """Read the traces of every thread: calls to anybody, and files written.

    Raises:
        ValueError: a line cannot be read; what cannot be read might be a call.
    """
    calls: list[str] = []
    written: list[Path] = []
    for path in sorted(folder.iterdir()):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(("---", "+++")):
                continue
            match = CALL.match(line)
            if match is None:
                raise ValueError(f"{path}: {line!r}")
            name, arguments, result, opened = match.groups()
            if name in TALKS:
                calls += called(arguments)
            elif name in EVADES:
                calls.append(name)
            elif not result.startswith(("-", "?")):
                written += wrote(name, arguments, opened)
    return calls, written


class Watched:
    """A command that runs under strace."""

    def __init__(self, room: "Room", process: subprocess.Popen[str], trace: Path) -> None:
        self._room = room
        self.process = process
        self._trace = trace
        self._heard_before = len(room.heard())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the command itself; strace ends with it."""
        strace = self.process.pid
        # strace holds back signals to itself, and has no child but the command.
        for child in Path(f"/proc/{strace}/task/{strace}/children").read_text(encoding="ascii").split():
            os.kill(int(child), how)

    def seen(self) -> Seen:
        """Wait for its end and read the trace."""
        output, _ = self.process.communicate(timeout=60)
        calls, written = read_trace(self._trace)
        heard = self._room.heard()[self._heard_before :]
        return Seen(self.process.returncode, output, calls, written, heard)


class Room:
    """A network namespace with the ear in it, and an empty home for those who run in it."""

    def __init__(self, folder: Path, ear: subprocess.Popen[bytes], heard: Path) -> None:
        self._ear = ear
        self._heard = heard
        self._folder = folder
        self._watched: list[Watched] = []
        self.home = folder / "home"

    def heard(self) -> list[str]:
        """Return what the ear heard so far."""
        return self._heard.read_text(encoding="utf-8").splitlines()[1:]

    def enter(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command in the room, with `env` and nothing else of this process's settings."""
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.home / "tmp")}
        return subprocess.Popen(
            ["nsenter", f"--target={self._ear.pid}", "--net", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            env={**clean, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **env},
        )

    def watch(self, command: Sequence[str], env: Mapping[str, str]) -> Watched:
        """Start a command in the room under strace."""
        trace = self._folder / f"trace{len(self._watched)}"
        trace.mkdir()
        calls = ",".join(f"?{name}" for name in (*TALKS, *OPENS, *CHANGES, *EVADES))
        strace = [
            "strace",
            "-ff",
            "--seccomp-bpf",
            "-qq",
            "-y",
            "-o",
            str(trace / "of"),
            "-e",
            f"trace={calls}",
        ]
        watched = Watched(self, self.enter([*strace, *command], env), trace)
        self._watched.append(watched)
        return watched

    def veilcam(self, *args: str, **env: str) -> Watched:
        """Start a verb of the camera's command line in the room under strace."""
        return self.watch([sys.executable, "-m", "firmware", *args], env)

    def empty(self) -> None:
        """End whatever a test that failed left running."""
        for watched in self._watched:
            if watched.process.poll() is None:
                watched.stop(signal.SIGKILL)
                watched.process.communicate(timeout=10)


@contextmanager
def room(folder: Path) -> Iterator[Room]:
    """Make a room for the length of the block."""
    (folder / "home" / "tmp").mkdir(parents=True)
    heard = folder / "heard"
    with heard.open("wb") as out:
        ear = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f'{ANYWHERE_IS_HERE} "$@"', "sh", *EAR],
            stdout=out,
            cwd=ROOT,
        )
    made = Room(folder, ear, heard)
    try:
        while not heard.read_bytes().startswith(b"ready"):
            assert ear.poll() is None, "the room could not be made; see standard error"
            time.sleep(0.02)
        yield made
    finally:
        made.empty()
        ear.kill()
        ear.wait(5)
