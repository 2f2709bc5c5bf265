"""The owner of a bench's camera: claims it with the code that it shows, and signs what weakens privacy."""

import json
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from hil.bench import STATE, VEILCAM, Bench, trusting
from hil.emulated.build import ROOT

CLAIM = "/run/veilcam/claim"
PASSWORD = "a bench has no secrets"  # noqa: S105 - of nobody


class Owner:
    """One owner, with a key of their own; needs the bench's shell."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench, self._key = bench, folder / "owner.key"
        self._veilcam("owner", "keygen", str(self._key), "--no-passphrase")

    async def claim(self) -> None:
        """Claim the camera; a start of it makes the code, which a shell keeps the console from taking."""
        self._bench.run(f"rm -f {CLAIM}; systemctl restart veilcam", 120)
        told = self._bench.run(f"until [ -s {CLAIM} ]; do sleep 1; done; grep 'claim code: ' {CLAIM}", 120)
        public = self._key.with_name("owner.key.pub").read_text(encoding="utf-8")
        body = {
            "code": told.rpartition("claim code: ")[2].strip(),
            "key": public,
            "name": "ada",
            "password": PASSWORD,
        }
        timeout = aiohttp.ClientTimeout(total=30 * self._bench.slow)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(f"{self._bench.url}/api/v1/claim", json=body, ssl=trusting()) as answer,
        ):
            assert answer.status == 201, await answer.text()

    async def sets(self, *settings: str) -> None:
        """Change settings on the camera itself, with a signature under them."""
        shown = json.loads(
            self._bench.run(f"{VEILCAM} settings show --json --state {STATE}", 60).splitlines()[-1]
        )
        device = str((await self._bench.status())["device"])
        # Statements have a time, and an emulated machine's clock falls behind ours.
        self._bench.run(f"date --set @{int(time.time())}")
        about = ["--key", str(self._key), "--device", device, "--revision", str(shown["revision"] + 1)]
        signed = self._veilcam("owner", "sign", *settings, *about)
        self._bench.put("/run/statement", signed.encode())
        words = " ".join(f"'{one}'" for one in settings)
        told = f"settings set {words} --statement /run/statement --state {STATE}"
        self._bench.run(f"chmod 644 /run/statement; {VEILCAM} {told}", 60)

    def _veilcam(self, *words: str) -> str:
        command = [sys.executable, "-m", "firmware", *words]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout
