"""What the device's keys ask of a TPM 2.0: to keep a secret that is worth nothing elsewhere, and to count.

By Debian's tpm2-tools as child processes: they come and are mended with the system, and tpm2-pytss is to be
had as source alone, which would put a compiler on every camera. Secrets go through pipes, never through
arguments or files; what lies in files for a moment, in memory, the TPM has encrypted.

The secret is sealed under the owner's storage key, without a password (nobody is there to type one) and
without PCRs (an update changes them). Who takes the card or the whole disk has nothing. Who takes the running
device has what it has. Who listens on the bus to a TPM of its own chip hears the secret: a session that
encrypts there would have to outlive one tool, and the kernel's resource manager ends it with the tool.
"""

import contextlib
import os
import secrets
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from firmware.errors import IdentityDamaged, KeyUnavailable

TCTI = "TPM2TOOLS_TCTI"
"""The tools' own variable: how the TPM is reached."""
DEVICE = "device:/dev/tpmrm0"
"""The kernel's resource manager; named, because the tools would also take whoever answers on a port."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own in it
WITHIN_S = 30.0
"""A TPM on a slow bus takes a second or two to make a storage key."""
LONGEST = 16_384
UNREACHED, NO_TCTI = 4, "Could not load tcti"
"""Exit status of the tools where the TPM goes away, and what they say where there is none."""
ANOTHER = "(0x1DF)"
"""TPM_RC_INTEGRITY of the first parameter (TPM 2.0 Library, part 2): it was sealed under another seed."""
INDEXES = range(0x01800000, 0x01BFFFFF)
"""The owner's part of the TPM's own memory (TCG, Registry of Reserved TPM 2.0 Handles and Localities)."""
COUNTER_BYTES = 8
# noda: where a TPM that guards against guessing loses its power, it counts that as a guess (TPM 2.0 Library,
# part 1, on dictionary attacks). A few power cuts would lock a camera out of keys that have no password.
CHILD = "fixedtpm|fixedparent|userwithauth|noda"
PARENT = f"{CHILD}|sensitivedataorigin|restricted|decrypt"
COUNTER = "nt=counter|authread|authwrite|no_da"


class _RefusedError(Exception):
    """The TPM answered, and did not do it."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret that one TPM can open; both halves are public."""

    public: bytes
    private: bytes


class Tpm:
    """The TPM of this machine; its methods wait for it, and raise KeyUnavailable where it does not answer."""

    def seal(self, secret: bytes) -> Sealed:
        """Return a secret as only this TPM can open it."""
        with _folder() as folder, _needed("seal a key"):
            primary, public, private = (folder / name for name in ("primary", "public", "private"))
            self._make_primary(primary)
            halves = ("-u", str(public), "-r", str(private))
            _run("create", "-Q", "-C", str(primary), "-a", CHILD, "-i", "-", *halves, given=secret)
            return Sealed(public.read_bytes(), private.read_bytes())

    def unseal(self, sealed: Sealed) -> bytes:
        """Return the secret.

        Raises:
            IdentityDamaged: another TPM sealed it, or this one was cleared since.
        """
        with _folder() as folder, _needed("open the device's keys"):
            primary, public, private = (folder / name for name in ("primary", "public", "private"))
            opened = str(folder / "opened")
            public.write_bytes(sealed.public)
            private.write_bytes(sealed.private)
            self._make_primary(primary)
            halves = ("-u", str(public), "-r", str(private))
            try:
                _run("load", "-Q", "-C", str(primary), *halves, "-c", opened)
            except _RefusedError as exc:
                # Whatever else it is passes, or is mended: a device must not be given up for it.
                if ANOTHER not in str(exc):
                    raise
                raise IdentityDamaged(
                    f"this machine's TPM did not seal the keys of this device: {exc}; it is another machine "
                    "or its TPM was cleared: start with an empty state folder, as a new device"
                ) from exc
            return _run("unseal", "-c", opened)

    def make_counter(self, password: str) -> int:
        """Make a counter that only the password reads and raises; returns its index."""
        index = secrets.choice(INDEXES)
        with _needed("make a counter"):
            _run(
                "nvdefine", "-Q", hex(index), "-C", "o", "-s", str(COUNTER_BYTES), "-a", COUNTER,
                "-p", "file:-", given=password.encode(),
            )  # fmt: skip
        return index

    def read_counter(self, index: int, password: str) -> int:
        """Return where a counter stands."""
        at = hex(index)
        with _needed("read the counter of updates"):
            size = str(COUNTER_BYTES)
            told = _run("nvread", at, "-C", at, "-P", "file:-", "-s", size, given=password.encode())
        return int.from_bytes(told, "big")

    def raise_counter(self, index: int, password: str) -> None:
        """Count one up; the TPM sees to it that this outlives a power cut."""
        at = hex(index)
        with _needed("raise the counter of updates"):
            _run("nvincrement", "-Q", at, "-C", at, "-P", "file:-", given=password.encode())

    def _make_primary(self, path: Path) -> None:
        # The same each time: it follows from the TPM's own seed.
        _run("createprimary", "-Q", "-C", "o", "-G", "ecc", "-a", PARENT, "-c", str(path))


@dataclass(frozen=True, slots=True)
class TpmCounter:
    """One counter of a TPM, as it counts from where it stood when it was made."""

    tpm: Tpm
    index: int
    password: str = field(repr=False)
    begins: int

    def value(self) -> int:
        """Return how often it was raised; raises KeyUnavailable."""
        return self.tpm.read_counter(self.index, self.password) - self.begins

    def up(self) -> None:
        """Raise it by one; raises KeyUnavailable."""
        self.tpm.raise_counter(self.index, self.password)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="veilcam-tpm-", dir=MEMORY) as folder:
        yield Path(folder)


@contextmanager
def _needed(what: str) -> Iterator[None]:
    try:
        yield
    except _RefusedError as exc:
        raise KeyUnavailable(f"the TPM does not {what}: {exc}; look at it with tpm2_getcap") from exc


def _run(tool: str, *words: str, given: bytes = b"") -> bytes:
    """Run one of the tools; raises KeyUnavailable, _RefusedError."""
    try:
        return _call(tool, words, given)
    finally:
        # Without a resource manager, what a tool has loaded stays there, and a TPM has three places.
        with contextlib.suppress(_RefusedError, KeyUnavailable):
            _call("flushcontext", ("-t",), b"")


def _call(tool: str, words: tuple[str, ...], given: bytes) -> bytes:
    reached = os.environ.get(TCTI, DEVICE)
    env = {"PATH": PATH, TCTI: reached, "TSS2_LOG": "all+NONE"}
    try:
        process = subprocess.Popen(
            [f"tpm2_{tool}", *words],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as exc:
        raise KeyUnavailable(f"tpm2_{tool}: {exc.strerror}; apt install tpm2-tools") from exc
    with process:
        try:
            out, err = _talk(process, given)
            status = process.wait(WITHIN_S)
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            process.kill()
            raise KeyUnavailable(f"the TPM at {reached} does not answer; start the device anew") from exc
    text = err.decode("utf-8", "replace")
    said = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    if status == UNREACHED or NO_TCTI in text:
        raise KeyUnavailable(f"no TPM at {reached}; fit it, or name another with {TCTI}")
    if status:
        raise _RefusedError(said[0] if said else f"tpm2_{tool} ended with status {status}")
    return out


def _talk(process: "subprocess.Popen[bytes]", given: bytes) -> Sequence[bytes]:
    """Give a tool its few bytes and return what it says, bounded, on both streams; raises TimeoutError."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(given)
    told = {stream.fileno(): b"" for stream in (process.stdout, process.stderr) if stream is not None}
    deadline = time.monotonic() + WITHIN_S
    with selectors.DefaultSelector() as waiting:
        for stream in told:
            waiting.register(stream, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                part = os.read(key.fd, LONGEST)
                told[key.fd] += part
                if not part or len(told[key.fd]) > LONGEST:
                    waiting.unregister(key.fd)
    return tuple(told.values())
