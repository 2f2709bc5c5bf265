"""Import contracts fail closed: a new module that nobody has let in breaks the contract it is to break."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ROOMS = "Rooms stand above one another"
FORMAT_ALONE = "The update format stands alone"
FORMAT_KNOWN = "Only the update agent and its verbs know the update format"
RAW = "Only ports, drivers, pipeline and redact hold raw pictures"
DRIVERS = "Drivers never import each other"
HARDWARE = "Hardware packages live in drivers only"
WEB = "Web and media packages live in the stream only"
SET_UP = "Set-up converts models and runs none"
KEYS = "Keys are access's alone"
UPDATE = "The update agent handles no web and no pixels"
BROKER = "Brokers are the remote room's alone"
TOKEN = "Only one module talks to tokens, and only authors' verbs need it"  # noqa: S105
AUTHOR = "A camera signs nothing as an author"
PICTURES = "Only redact reads picture files"
BUS = "Only RAUC's boot control talks to the message bus"
ALL = {
    ROOMS,
    FORMAT_ALONE,
    FORMAT_KNOWN,
    RAW,
    DRIVERS,
    HARDWARE,
    WEB,
    SET_UP,
    KEYS,
    UPDATE,
    BROKER,
    TOKEN,
    AUTHOR,
    BUS,
    PICTURES,
}

CASES = {
    "a new room that holds raw pictures and runs models": (
        {"firmware/record/__init__.py": "import onnxruntime\nfrom firmware.core import raw"},
        {RAW, HARDWARE},
    ),
    "a room that nobody has placed": ({"firmware/novel/__init__.py": ""}, {ROOMS}),
    "a stream that holds raw pictures": (
        {"firmware/stream/sneaky.py": "from firmware.core.raw import RawFrame"},
        {RAW},
    ),
    "a pipeline that knows hardware, lazily": (
        {"firmware/pipeline/sneaky.py": "def peek():\n    import picamera2"},
        {HARDWARE},
    ),
    "a core that knows hardware nobody has heard of": (
        {"firmware/core/sneaky.py": "import novel_npu"},
        {HARDWARE},
    ),
    "a camera room of the web": ({"firmware/pipeline/sneaky.py": "import aiohttp"}, {HARDWARE}),
    "a pipeline that reads picture files": ({"firmware/pipeline/sneaky.py": "import PIL"}, {PICTURES}),
    "a stream that runs models": ({"firmware/stream/sneaky.py": "import onnxruntime"}, {WEB}),
    "an update agent that knows the web": ({"firmware/update/sneaky.py": "import aiohttp"}, {UPDATE}),
    "a broker's room that knows the web": ({"firmware/remote/sneaky.py": "import aiohttp"}, {BROKER}),
    "an update agent on the message bus": ({"firmware/update/sneaky.py": "import jeepney"}, {BUS}),
    "an update agent that uses a token": ({"firmware/update/sneaky.py": "import pkcs11"}, {TOKEN}),
    "a set-up that runs models": ({"firmware/provision/sneaky.py": "import onnxruntime"}, {SET_UP}),
    "an access that knows the web": ({"firmware/access/sneaky.py": "import aiohttp"}, {KEYS}),
    "a configuration that handles keys": ({"firmware/config/sneaky.py": "import cryptography"}, {HARDWARE}),
    "a stream that knows updates": ({"firmware/stream/sneaky.py": "import ota"}, {FORMAT_KNOWN, WEB}),
    "a driver that knows updates": ({"firmware/drivers/sneaky.py": "import ota"}, {FORMAT_KNOWN}),
    "an update format that knows the firmware": ({"ota/sneaky.py": "import firmware.errors"}, {FORMAT_ALONE}),
    "an update format with one more package": ({"ota/sneaky.py": "import numpy"}, {FORMAT_ALONE}),
    "a driver on top of another": (
        {"firmware/drivers/sneaky.py": "from firmware.drivers import camera_scene"},
        {DRIVERS},
    ),
    "a core above its ports": ({"firmware/core/sneaky.py": "import firmware.ports"}, {ROOMS}),
    "what is planned": (
        {
            "firmware/update/__init__.py": "import ota\nfrom firmware import config, fanout",
            "firmware/access/__init__.py": "from firmware import config, fanout",
            "ota/verify.py": "import hashlib, cryptography, tuf, securesystemslib",
        },
        set(),
    ),
}


def broken(tree: Path) -> set[str]:
    """Check a tree; returns the names of the contracts that it breaks."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=tree,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    told = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, re.MULTILINE))
    assert told.keys() == ALL, done.stdout + done.stderr
    assert (done.returncode == 0) == ("BROKEN" not in told.values())
    return {name for name, result in told.items() if result == "BROKEN"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is checked."""
    for folder in ("firmware", "ota", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_module_that_nobody_let_in_breaks_its_contract(case: str, tree: Path) -> None:
    files, breaks = CASES[case]
    for name, text in files.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(f"{text}\n", encoding="utf-8")
    assert broken(tree) == breaks
