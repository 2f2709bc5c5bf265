"""What the kernel offers in a camera's place, and what work costs in instructions."""

from pathlib import Path

import pytest

from hil.bench import Bench
from hil.emulated.served import Served
from hil.programs import COST, PICAMERA2, VIVID
from hil.results import Results


@pytest.mark.lg_feature(["shell", "virtual-devices"])
def test_frames_of_a_kernels_camera_come_through_the_driver(bench: Bench) -> None:
    bench.run("modprobe vivid n_devs=1 node_types=0x1", 60)
    device = bench.run("ls /dev/video* | head -n 1")
    try:
        said = bench.python(VIVID, device, within_s=60).splitlines()[-1]
    finally:
        bench.run("modprobe -r vivid", 60)  # libcamera would find it, too
    assert said == "frames 10 640x360", said


VIRTUAL = """"Virtual0":
  supported_formats:
  - {width: 640, height: 360, frame_rates: [30]}
  - {width: 320, height: 180, frame_rates: [30]}
  test_pattern: "bars"
  location: "CameraLocationFront"
"""


@pytest.mark.lg_feature(["shell", "emulated"])
def test_frames_of_picamera2_itself_come_through_the_driver(
    bench: Bench, results: Results, picamera2: Path
) -> None:
    """No sensor and no ISP: leases, strides and ends of the real library, not the colours of a picture."""
    with Served(picamera2.parent) as served:
        served.bring(bench, picamera2.name, "/run/picamera2.tar.gz")
    bench.put("/run/virtual.yaml", VIRTUAL.encode())
    where = "/run/picamera2 /run/pipelines/virtual"
    bench.run(f"mkdir -p {where}; tar -C /run/picamera2 -xzf /run/picamera2.tar.gz", 60)
    shown = "mount --bind /run/pipelines /usr/share/libcamera/pipeline"
    bench.run(f"cp /run/virtual.yaml /run/pipelines/virtual/; {shown}")
    bench.run("systemctl stop veilcam", 60)
    try:
        said = bench.python(PICAMERA2, "/run/picamera2", within_s=120).splitlines()[-1]
    finally:
        bench.run("systemctl start --no-block veilcam; umount /usr/share/libcamera/pipeline")
    assert said.startswith("frames 30 libcamera "), said
    results.about(picamera2=f"0.3.38 on {said.partition('libcamera ')[2]}")


@pytest.mark.lg_feature(["shell", "emulated"])
def test_what_a_look_costs_in_instructions(bench: Bench, results: Results) -> None:
    """One nanosecond of this machine is one instruction; no board was measured (README, Boards)."""
    bench.run("systemctl stop veilcam", 60)
    try:
        said = bench.python(COST, within_s=300).splitlines()[-1]
    finally:
        bench.run("systemctl start --no-block veilcam")
    for one in said.split("; "):
        name, _, millions = one.partition("=")
        results.figure(name, float(millions), "million arm64 instructions")
        assert 1 < float(millions) < 5000, said
