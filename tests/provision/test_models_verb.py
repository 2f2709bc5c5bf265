"""`veilcam models` as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.config.model import ModelCache, load_manifests


def veilcam(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware", "models", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "VEILCAM_MODELS_FROM": "", **env},
    )


def test_without_a_registry_fetch_ends_with_43_and_one_clear_line(tmp_path: Path) -> None:
    done = veilcam(
        "fetch",
        "astronaut",
        "--cache",
        str(tmp_path),
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
        npm_config_registry="http://127.0.0.1:1/npm",
    )
    assert done.returncode == 43
    last = done.stderr.splitlines()[-1]
    assert last.startswith("veilcam: cannot reach http://127.0.0.1:1: ")
    assert "VEILCAM_MODELS_FROM" in last
    assert done.stdout == ""


def test_list_and_verify_of_an_empty_cache(tmp_path: Path) -> None:
    listed = veilcam("list", "--json", "--cache", str(tmp_path))
    assert listed.returncode == 0, listed.stderr
    report = json.loads(listed.stdout)
    assert report["chain"] is None
    assert {row["model"] for row in report["files"]} == set(load_manifests())
    assert veilcam("verify", "--cache", str(tmp_path)).returncode == 41


def test_verify_names_a_wrong_file(tmp_path: Path) -> None:
    (artefact,) = load_manifests()["astronaut"].artefacts.values()
    path = ModelCache(tmp_path).path(artefact)
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(artefact.bytes))
    done = veilcam("verify", "--cache", str(tmp_path))
    assert done.returncode == 42
    assert "astronaut.png" in done.stderr


def test_unknown_model_is_wrong_use(tmp_path: Path) -> None:
    done = veilcam("fetch", "nobody", "--cache", str(tmp_path))
    assert done.returncode == 2
    assert "no model is called 'nobody'" in done.stderr


@pytest.mark.models
def test_fetch_from_a_folder_at_hand_needs_no_network(tmp_path: Path, model_cache: ModelCache) -> None:
    manifests = load_manifests()
    upstream = {n for n, m in manifests.items() for a in m.artefacts.values() if a.source.kind == "upstream"}
    names = [n for n in manifests if n not in upstream]
    if not all(model_cache.has(a) for n in names for a in manifests[n].artefacts.values() if a.runtime):
        pytest.skip(f"not all models are in {model_cache.root}: run scripts/fetch-models")
    done = veilcam(
        "fetch",
        *names,
        "--json",
        "--cache",
        str(tmp_path),
        VEILCAM_MODELS_FROM=str(model_cache.root / "sha256"),
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["chain"] == "registry"
    assert set(report["placed"].values()) == {"folder"}
