"""Chooses the bench: `--lg-env hil/qemu.yaml` is the emulated machine, which is built and wired up here."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from labgrid import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hil.bench import Bench
from hil.emulated import build, network
from hil.results import Results

SLOW = 40.0
"""Seconds that the emulated machine's second may take, on a machine that does other things besides."""


CUTS = "VEILCAM_CUTS"
"""How many power cuts are replayed: every write is logged then."""
IMAGE, RIG = pytest.StashKey[Path](), pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Build the emulated machine's disk and its network before labgrid reads where they are."""
    os.environ.setdefault("LG_DISK", "")
    chosen = config.getoption("lg_env") or os.environ.get("LG_ENV") or ""
    if Path(chosen).name != "qemu.yaml" or config.option.collectonly:
        return
    rig = Path(tempfile.mkdtemp(prefix="veilcam-rig-"))
    atexit.register(shutil.rmtree, rig, ignore_errors=True)
    folder = build.image()
    config.stash[IMAGE] = folder
    build.disk(folder, rig / "disk.qcow2")
    os.environ["LG_DISK"] = build.drive(rig / "disk.qcow2", rig / "writes" if os.environ.get(CUTS) else None)
    config.stash[RIG] = rig


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what the chosen tests need; from here on there is the rig's network alone."""
    rig = session.config.stash.get(RIG, None)
    if rig is None:
        return
    if any("picamera2" in getattr(item, "fixturenames", ()) for item in session.items):
        build.picamera2(session.config.stash[IMAGE])
    served = network.enter(rig)
    atexit.register(served.terminate)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> Path:
    """The folder of the image that runs."""
    folder = request.config.stash.get(IMAGE, None)
    if folder is None:
        pytest.skip("only where the image was built here: --lg-env hil/qemu.yaml")
    return folder


@pytest.fixture(scope="session")
def picamera2(image: Path) -> Path:
    """An archive of picamera2 itself, beside the image."""
    return build.picamera2(image)


@pytest.fixture(scope="session")
def writes(request: pytest.FixtureRequest) -> Path:
    """The log of every write to the machine's disk."""
    rig = request.config.stash.get(RIG, None)
    if rig is None or not os.environ.get(CUTS):
        pytest.skip(f"takes an hour: say how many cuts with {CUTS}")
    return rig / "writes"


@pytest.fixture(scope="session")
def bench(target: Target) -> Iterator[Bench]:
    """The camera, switched on."""
    emulated = "emulated" in target.env.get_target_features()
    made = Bench(target, SLOW if emulated else 1.0)
    made.on()
    yield made
    made.off()


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, target: Target) -> Iterator[Results]:
    """What the suite found, written to a file at its end."""
    made = Results(target.env.config.filename, sorted(target.env.get_target_features()))
    yield made
    made.write(request.session.testsfailed)
