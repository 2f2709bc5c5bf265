"""A TPM 2.0 in software (swtpm) that a test can cut from its power, clear, and carry away."""

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class SoftTpm:
    """One TPM: its memory is a folder, its bus a socket beside it."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def tcti(self) -> str:
        """How the TPM's tools reach it."""
        return f"swtpm:path={self.folder}/bus"

    def start(self) -> "SoftTpm":
        """Power it up, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        for name in ("bus", "bus.ctrl"):
            (self.folder / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}",
                "--server", f"type=unixio,path={self.folder}/bus",
                "--ctrl", f"type=unixio,path={self.folder}/bus.ctrl",
                "--flags", "not-need-init,startup-clear", "--seccomp", "action=none",
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"swtpm ended with status {self.process.returncode}")
            if (self.folder / "bus.ctrl").exists() and (self.folder / "bus").exists():
                return self
            time.sleep(0.01)
        raise RuntimeError("swtpm does not answer")

    def stop(self) -> None:
        """Cut it from its power; twice is no more than once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def tool(self, name: str, *words: str) -> bytes:
        """Do something to it with a tool of tpm2-tools."""
        env = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
        return subprocess.run(
            [f"tpm2_{name}", *words], env=env, check=True, capture_output=True, timeout=30
        ).stdout
