"""`veilcam redact` with real models of both chains: the one real face is hidden in every frame."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from firmware.config.model import ModelCache, load_chains, load_manifests
from firmware.core.frames import Plane
from tests.redact.conftest import background, command, painted, write_clip

pytestmark = pytest.mark.models

FACE = (180, 62, 90, 112)
"""Where the face is in the picture of 512 x 512."""
SIDE = 200
LENGTH = 5


@pytest.fixture
def astronaut(model_cache: ModelCache) -> Plane:
    manifest = load_manifests()["astronaut"]
    bgr = cv2.imread(str(model_cache.path(manifest.artefacts["picture"])))
    return np.asarray(cv2.resize(bgr, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def needs(chain: str, cache: ModelCache) -> None:
    wanted = next(c for c in load_chains() if c.name == chain)
    if not cache.complete(wanted, load_manifests()):
        pytest.skip(f"chain {chain} is not complete in {cache.root}: run scripts/fetch-models")


def scene(astronaut: Plane, n: int) -> Plane:
    bgr = background(320, 240, n)
    bgr[40 : 40 + SIDE, 20 + 4 * n : 20 + 4 * n + SIDE] = astronaut
    return bgr


def face_in(n: int) -> tuple[slice, slice]:
    x, y, w, h = (round(v * SIDE / 512) for v in FACE)
    return slice(40 + y, 40 + y + h), slice(20 + 4 * n + x, 20 + 4 * n + x + w)


@pytest.mark.parametrize("policy", ["people", "faces"])
@pytest.mark.parametrize("pace", ["thorough", "realtime"])
@pytest.mark.parametrize("chain", ["upstream", "registry"])
def test_the_face_is_hidden_and_the_rest_is_not(
    chain: str, pace: str, policy: str, astronaut: Plane, model_cache: ModelCache, tmp_path: Path
) -> None:
    needs(chain, model_cache)
    folder = tmp_path / "in"
    folder.mkdir()
    write_clip(folder / "clip.mp4", [scene(astronaut, n) for n in range(LENGTH)])
    cv2.imwrite(str(folder / "picture.png"), scene(astronaut, 0))
    how = ("--pace", pace, "--chain", chain, "--policy", policy)
    assert command(folder, tmp_path / "out", "--regions", tmp_path / "r.json", *how) == 0
    regions = json.loads((tmp_path / "r.json").read_text())
    assert set(regions) == {"clip.mp4", "picture.png"}
    for name in regions:
        for n, hidden in regions[name].items():
            mask = painted(hidden, 240, 320)
            assert mask[face_in(int(n))].mean() > 0.9, (name, n)
            assert not mask[:, 290:].any() or policy == "people"
            assert mask[55:, 20:220].mean() > 0.6 or policy == "faces"
            assert mask.mean() < 0.8


@pytest.mark.timeout(240)
def test_an_interrupt_ends_at_the_next_frame_and_leaves_nothing(
    astronaut: Plane, model_cache: ModelCache, tmp_path: Path
) -> None:
    write_clip(tmp_path / "in.mp4", [scene(astronaut, 0)] * 600)
    (tmp_path / "out").mkdir()
    args = ["redact", tmp_path / "in.mp4", tmp_path / "out" / "out.mp4", "--pace", "realtime"]
    with subprocess.Popen(
        [sys.executable, "-m", "firmware", *map(str, args)], stderr=subprocess.PIPE, text=True
    ) as process:
        for _ in range(20_000):
            if list((tmp_path / "out").iterdir()):  # the second pass has begun to write
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
