"""What the kernel offers in a camera's place, and what work costs in instructions."""

import pytest

from hil.bench import Bench
from hil.programs import COST, VIVID
from hil.results import Results


@pytest.mark.lg_feature(["shell", "virtual-devices"])
def test_frames_of_a_kernels_camera_come_through_the_driver(bench: Bench) -> None:
    bench.run("modprobe vivid n_devs=1 node_types=0x1", 60)
    device = bench.run("ls /dev/video* | head -n 1")
    said = bench.python(VIVID, device, within_s=60).splitlines()[-1]
    assert said == "frames 10 640x360", said


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
