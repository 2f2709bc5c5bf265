"""Measures what it costs to verify, decrypt and write an update, beside age and openssl cms in one run."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import firmware
import ota
from firmware.update.delta import make_delta
from ota.author import Notes, Repository, build, pack
from ota.release import Privacy

MIB = 1 << 20
PIECE = 4 * MIB

CHILD = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ota.bundle import read_bundle
from ota.metadata import Floor, Here, verify
from ota.stanza import KeyInMemory
from ota.unpack import unpack
bundle, anchor, key, out = map(Path, sys.argv[1:])
with bundle.open("rb", buffering=0) as file, out.open("wb", buffering=0) as plain:
    files = read_bundle(file).files
    found = verify(files, anchor.read_bytes(), Floor(), Here(("bench",), datetime.now(UTC)))
    held = KeyInMemory(X25519PrivateKey.from_private_bytes(key.read_bytes()))
    unpack(found, found.release.whole, held, file, plain.write)
    plain.flush()
    os.fsync(plain.fileno())
"""
"""What is measured is a process of its own, so that its memory is its own."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One way to do it: CPU seconds, peak resident MiB, bytes beyond the content."""

    cpu_s: float
    peak_mib: float
    overhead: int


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """All ways, with the same content."""

    mib: int
    ours: Cost
    age: Cost | None
    openssl_cms: Cost | None
    delta_share: float
    """Bytes of a delta in which one module of this firmware changes, as a share of the whole."""

    @property
    def ratio_to_age(self) -> float | None:
        """CPU time as a multiple of age's."""
        return None if self.age is None else self.ours.cpu_s / self.age.cpu_s


def measure_update(
    mib: int, where: Path | None = None, done: Callable[[str], object] = lambda what: None
) -> UpdateReport:
    """Measure with so many MiB of noise, in a folder of `where`; what is missing is left out."""
    with tempfile.TemporaryDirectory(prefix="veilcam-bench-", dir=where) as name:
        folder = Path(name)
        plain = folder / "plain"
        with plain.open("wb") as file:
            for _ in range(0, mib * MIB, PIECE):
                file.write(os.urandom(PIECE))
        done("content")
        ours = _ours(folder, plain)
        done("ours")
        age = _age(folder, plain) if shutil.which("age") else None
        done("age")
        cms = _cms(folder, plain) if shutil.which("openssl") else None
        done("openssl cms")
        return UpdateReport(mib, ours, age, cms, _delta_share(folder))


def _delta_share(folder: Path) -> float:
    old, new = folder / "old", folder / "new"
    for version in (old, new):
        for package in (firmware, ota):
            source = Path(package.__path__[0])
            shutil.copytree(source, version / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    with (new / "firmware" / "app.py").open("a", encoding="utf-8") as module:
        module.write("\n\ndef added() -> int:\n    return 1\n")
    with (folder / "delta").open("wb") as delta, (folder / "whole").open("wb") as whole:
        make_delta(old, new, delta)
        pack(new, whole)
        return delta.tell() / whole.tell()


def _ours(folder: Path, plain: Path) -> Cost:
    repository, key = Repository(folder / "repository"), X25519PrivateKey.generate()
    repository.create()
    sealed, anchor, secret = folder / "sealed", folder / "anchor", folder / "secret"
    notes = Notes("1", 1, ("bench",), Privacy("0" * 64, 0))
    with plain.open("rb") as content, sealed.open("wb") as out:
        build(repository, notes, content, [key.public_key()], out)
    anchor.write_bytes(repository.anchor())
    secret.write_bytes(key.private_bytes_raw())
    out_file = folder / "out"
    command = [sys.executable, "-c", CHILD, *map(str, (sealed, anchor, secret, out_file))]
    return _cost(command, sealed, plain)


def _age(folder: Path, plain: Path) -> Cost:
    key, sealed = folder / "age.key", folder / "sealed.age"
    _run("age-keygen", "-o", key)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True)  # noqa: S607
    _run("age", "-r", public.stdout.strip(), "-o", sealed, plain)
    return _cost(["age", "-d", "-i", str(key), "-o", str(folder / "out"), str(sealed)], sealed, plain)


def _cms(folder: Path, plain: Path) -> Cost:
    key, certificate, sealed = folder / "cms.key", folder / "cms.pem", folder / "sealed.cms"
    made = ["-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-subj", "/CN=bench"]
    _run("openssl", "req", *made, "-keyout", key, "-out", certificate)
    how = ["-encrypt", "-aes-256-gcm", "-binary", "-stream", "-outform", "DER"]
    _run("openssl", "cms", *how, "-in", plain, "-out", sealed, certificate)
    told = ["-decrypt", "-binary", "-inform", "DER", "-in", sealed, "-inkey", key, "-out", folder / "out"]
    return _cost(["openssl", "cms", *map(str, told)], sealed, plain)


def _run(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


def _cost(command: Sequence[str], sealed: Path, plain: Path) -> Cost:
    """Run a command that writes the content to `out` beside it, and say what it took."""
    out = plain.with_name("out")
    out.unlink(missing_ok=True)
    peak = 0
    with subprocess.Popen(command) as process:
        # Its own high-water mark: what wait4 tells begins with this process's, of which it was made. That is
        # taken where a command was over before it was looked at.
        while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, _high_water(process.pid))
            time.sleep(0.01)
        _, status, usage = waited
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or out.stat().st_size != plain.stat().st_size:
        raise RuntimeError(f"{command[0]} did not give the content back")
    overhead = sealed.stat().st_size - plain.stat().st_size
    return Cost(usage.ru_utime + usage.ru_stime, (peak or usage.ru_maxrss) / 1024, overhead)


def _high_water(pid: int) -> int:
    """Return the most KiB that a process had resident, 0 once it is over."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", told, re.MULTILINE)
    return int(found[1]) if found else 0
