"""Compiles the double of libedgetpu."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("double.c")


def compiled(folder: Path) -> Path:
    """Return the library, made in a folder."""
    made = folder / "libedgetpu.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-lpthread"], check=True, timeout=60)
    return made
