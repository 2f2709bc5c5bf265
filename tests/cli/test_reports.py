"""What the reporting verbs print: for people, and as JSON for programs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from firmware.config.model import ModelCache, choose_chain, load_manifests
from firmware.config.profile import board_files
from tests.cli.test_bad_input import veilcam

pytestmark = pytest.mark.models

STAGES = {"camera", "detect", "mask", "encode", "loop and hand-over", "total"}


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_bench_pipeline_tells_speed_latency_stages_and_floor(model_cache: ModelCache) -> None:
    report = told(veilcam("bench", "pipeline", "--board", "laptop", "--seconds", "3", "--json"))
    assert set(report["cpu_ms_per_frame"]) == STAGES
    assert set(report["floor_ms_per_frame"]) == {"detect", "encode", "total"}
    assert report["released_fps"] > 0
    assert report["looks_per_s"] > 0
    assert 0 < report["latency_p50_ms"] <= report["latency_p95_ms"]
    assert report["ratio_to_floor"] > 0
    assert sum(report["verdicts"].values()) > 0
    assert len(report["rss_mib"]) == 10
    parts = sum(ms for stage, ms in report["cpu_ms_per_frame"].items() if stage != "total")
    assert parts == pytest.approx(report["cpu_ms_per_frame"]["total"])


def test_bench_pipeline_prints_a_table(model_cache: ModelCache) -> None:
    done = veilcam("bench", "pipeline", "--board", "laptop", "--seconds", "1")
    assert done.returncode == 0
    assert "ratio to the floor" in done.stdout


def test_boards_say_what_they_lack_here() -> None:
    rows = {row["name"]: row for row in told(veilcam("boards", "list", "--json"))}
    assert rows["laptop"]["lacks"] == []
    assert any("sudo apt install python3-gi" in line for line in rows["jetson-orin-nano"]["lacks"])


def test_boards_check_accepts_every_shipped_board() -> None:
    done = veilcam("boards", "check")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(board_files())
    assert len(told(veilcam("boards", "check", "--json"))) == len(board_files())


def test_doctor_is_well_on_the_laptop_and_names_the_chain(model_cache: ModelCache) -> None:
    findings = told(veilcam("doctor", "--board", "laptop", "--json"))
    assert all(finding["ok"] for finding in findings)
    (models,) = [finding for finding in findings if finding["what"] == "models"]
    chain = choose_chain(model_cache, load_manifests())
    assert models["detail"].startswith(f"chain {chain.name}: ")
    assert all(name in models["detail"] for name in chain.live)


def test_doctor_tells_what_a_board_lacks() -> None:
    done = veilcam("doctor", "--board", "pi4-coral")
    assert done.returncode == 1
    assert "LACK  driver" in done.stdout
    assert "apt install python3-picamera2" in done.stdout


def test_bench_update_tells_what_each_way_costs(tmp_path: Path) -> None:
    report = told(veilcam("bench", "update", "--mib", "4", "--folder", str(tmp_path), "--json"))
    assert report["mib"] == 4
    for way in ("ours", "age", "openssl_cms"):
        assert report[way]["cpu_s"] > 0
        assert report[way]["peak_mib"] > 0
    assert report["ours"]["overhead"] < 16 * 1024
    assert report["ratio_to_age"] > 0
    assert list(tmp_path.iterdir()) == []
    table = veilcam("bench", "update", "--mib", "4", "--folder", str(tmp_path))
    assert "age -d" in table.stdout
