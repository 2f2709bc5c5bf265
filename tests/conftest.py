"""What every test has: a loop that may not block, and a state of the machine that tests do not touch."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from firmware.config.model import ModelCache, default_cache, load_manifests
from tests.soft_tpm import SoftTpm

# No test depends on how fast a machine is.
settings.register_profile("veilcam", deadline=None)
settings.load_profile("veilcam")


@pytest.fixture(autouse=True)
def _loop_never_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Raise where code of ours makes a blocking call while the event loop runs it."""
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    with blockbuster_ctx("firmware"):
        yield


@pytest.fixture
def model_cache() -> ModelCache:
    """The cache that set-up filled; tests marked `models` need it."""
    cache = ModelCache(default_cache())
    manifest = load_manifests()["astronaut"]
    (artefact,) = manifest.artefacts.values()
    if not cache.has(artefact):
        pytest.skip(f"no models in {cache.root}: run scripts/fetch-models")
    return cache


@pytest.fixture
def tpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTpm]:
    """A TPM of the test's own, and the one that this process and its children reach."""
    made = SoftTpm(tmp_path / "tpm").start()
    monkeypatch.setenv("TPM2TOOLS_TCTI", made.tcti)
    yield made
    made.stop()
