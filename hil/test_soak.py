"""A camera that is watched for long: no memory, no detector and no time is lost, and it gets not too hot."""

import asyncio
import os
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from hil.bench import Bench
from hil.results import Results
from hil.test_stream import Player

pytestmark = [pytest.mark.lg_feature("shell"), pytest.mark.timeout(14_400)]
SAMPLES = 20
GROWTH = 16 * 1024
"""KiB that the second half may have more than the first: allocators settle, leaks do not."""
HOT = 85.0
"""Degrees at which a Raspberry Pi slows down (documentation, "Frequency management and thermal control")."""
HOTTEST = "cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null | sort -n | tail -n 1"
MEMORY = """for one in $(cat /sys/fs/cgroup/system.slice/veilcam.service/cgroup.procs); do
  grep VmRSS /proc/$one/status; done"""
"""Of the camera and its children, a Coral's among them."""
CLOCKS = "for one in /sys/devices/system/cpu/cpufreq/policy*"
SLOWEST = f"{CLOCKS}; do cat $one/cpuinfo_min_freq | tee $one/scaling_max_freq; done"
FASTEST = f"{CLOCKS}; do cat $one/cpuinfo_max_freq >$one/scaling_max_freq; done"


@dataclass(frozen=True)
class Sample:
    """How the camera is at one time."""

    uptime_s: float
    looked: int
    restarts: int
    rss_kib: int
    celsius: float | None


async def sample(bench: Bench) -> Sample:
    told = await bench.status()
    rss = bench.run(MEMORY)
    hot = bench.run(HOTTEST)
    return Sample(
        told["uptime_s"],
        told["released"].get("verified", 0),
        told["detector_restarts"],
        sum(int(line.split()[1]) for line in rss.splitlines()),
        int(hot) / 1000 if hot else None,
    )


def length_s(bench: Bench) -> float:
    """Return how long it is watched, in seconds of its own."""
    told = os.environ.get("VEILCAM_SOAK_S", "0" if bench.slow > 1 else "600")
    if float(told) <= 0:
        pytest.skip("minutes for each second here: say how many of the camera's with VEILCAM_SOAK_S")
    return float(told)


async def watched(bench: Bench, player: Player, until_s: float) -> None:
    """Take pictures until the camera has run so long."""
    while (await bench.status())["uptime_s"] < until_s:
        for _ in range(5):
            await player.frame()


async def test_a_camera_that_is_watched_for_long_stays_as_it_is(bench: Bench, results: Results) -> None:
    lasts = length_s(bench)
    begun = (await bench.until_shown(240))["uptime_s"]
    found: list[Sample] = []
    async with Player(bench) as player:
        for number in range(1, SAMPLES + 1):
            await watched(bench, player, begun + lasts * number / SAMPLES)
            found.append(await sample(bench))
    first, second = found[: SAMPLES // 2], found[SAMPLES // 2 :]
    grown = max(one.rss_kib for one in second) - max(one.rss_kib for one in first)
    results.figure("soak", lasts, "s of the board")
    results.figure("soak: memory, second half over first", grown / 1024, "MiB")
    results.figure("soak: memory", max(one.rss_kib for one in found) / 1024, "MiB")
    hot = [one.celsius for one in found if one.celsius is not None]
    if hot:
        results.figure("soak: hottest", max(hot), "degrees C")
    assert grown < GROWTH, [one.rss_kib for one in found]
    assert {one.restarts for one in found} == {found[0].restarts}
    assert all(a.uptime_s < b.uptime_s and a.looked < b.looked for a, b in pairwise(found)), found
    assert max(hot, default=0.0) < HOT


@pytest.mark.lg_feature("throttle")
async def test_a_slowed_camera_hides_what_it_cannot_look_at(bench: Bench, results: Results) -> None:
    """Every core at its lowest clock, as heat would have it: late looks hide pictures, and nothing fails."""
    before = await bench.until_shown()
    assert bench.run(SLOWEST), "this kernel sets no clocks"
    try:
        await asyncio.sleep(30)
        slowed = await bench.status()
    finally:
        bench.run(FASTEST)
    frames = {one: count - before["released"].get(one, 0) for one, count in slowed["released"].items()}
    hidden = frames.get("blind", 0) / max(1, sum(frames.values()))
    results.figure("frames hidden whole at the lowest clock", hidden, "of all")
    assert sum(frames.values()) > 0
    assert not slowed["failed"]
    assert slowed["uptime_s"] > before["uptime_s"], "the same start goes on"
    await bench.until_shown()


@pytest.mark.lg_feature("coral")
async def test_a_detector_that_dies_hides_everything_and_comes_back(bench: Bench) -> None:
    """The child with the Edge TPU is killed: blind at once, started again, shown again."""
    before = await bench.until_shown()
    bench.run("pkill -KILL -f edgetpu_child")
    begun, hidden, restarts = (
        time.monotonic(),
        before["released"].get("blind", 0),
        before["detector_restarts"],
    )
    blind = await bench.until(lambda told: told["released"].get("blind", 0) > hidden, 10, "hidden")
    assert time.monotonic() - begun < 10
    assert blind["uptime_s"] > before["uptime_s"], "the camera itself did not end"
    told = await bench.until(lambda told: told["detector_restarts"] > restarts, 60, "it was started again")
    assert not told["failed"]
    await bench.until_shown()
