"""Files that the emulated machine takes from the machine that it runs on: too large for a console."""

import http.server
import threading
from functools import partial
from pathlib import Path

from hil.bench import Bench
from hil.emulated.network import HOST

FETCH = """
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
shutil.chown(sys.argv[2], "veilcam", "veilcam")
"""


class Served:
    """A folder, over HTTP on the rig's own network; closes with its block."""

    def __init__(self, folder: Path) -> None:
        self._server = http.server.ThreadingHTTPServer((HOST, 0), partial(Quiet, directory=str(folder)))

    def __enter__(self) -> "Served":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def bring(self, bench: Bench, name: str, path: str) -> None:
        """Have the machine take a file; it is the camera's there."""
        bench.put("/run/fetch.py", FETCH.encode())
        url = f"http://{HOST}:{self._server.server_address[1]}/{name}"
        bench.run(f"/usr/bin/python3 /run/fetch.py {url} {path}", 120)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *words: object) -> None: ...
