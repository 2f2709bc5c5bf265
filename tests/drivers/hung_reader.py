"""A camera whose clip comes through a pipe that stops, is closed meanwhile, and then gets the rest.

usage: hung_reader.py PIPE CLIP; prints how many frames the reader got in all.
"""

import os
import sys
import threading
import time
from pathlib import Path

from firmware.config.drivers import FileOptions
from firmware.drivers.camera_file import FileCamera
from firmware.errors import VeilcamError

closed = threading.Event()
got = 0


def feed() -> None:
    content = Path(sys.argv[2]).read_bytes()
    first = len(content) * 8 // 10
    with Path(sys.argv[1]).open("wb") as pipe:
        pipe.write(content[:first])
        pipe.flush()
        closed.wait(20)
        pipe.write(content[first:])


def pull() -> None:
    global got  # noqa: PLW0603 - told from one thread, read by the other
    try:
        while True:
            camera.capture()
            got += 1
    except VeilcamError:
        return


threading.Thread(target=feed, daemon=True).start()
camera = FileCamera(FileOptions(driver="file", path=sys.argv[1], realtime=False))
reader = threading.Thread(target=pull, daemon=True)
reader.start()
before = -1
while got != before:  # until the reader hangs for want of bytes
    before = got
    time.sleep(1)
camera.close()
closed.set()
reader.join(10)
sys.stdout.write(f"{got}\n")
sys.stdout.flush()
os._exit(0)
