"""What is stuck is ended: the camera by systemd, the machine by its watchdog."""

import pytest

from hil.bench import Bench


@pytest.mark.lg_feature("shell")
async def test_a_camera_that_stands_still_is_started_again(bench: Bench) -> None:
    # One that still starts is given fifteen minutes, not the watchdog's thirty seconds.
    await bench.until_shown(240)
    bench.run("until systemctl --quiet is-active veilcam; do sleep 1; done", 120)
    before = bench.run("systemctl show veilcam -p MainPID --value")
    bench.run(f"kill -STOP {before}")
    told = await bench.until(lambda told: told["uptime_s"] < 60, 180, "it was started again")
    assert told["device"]
    assert bench.run("systemctl show veilcam -p MainPID --value") != before
    assert int(bench.run("systemctl show veilcam -p NRestarts --value")) > 0
    await bench.until_shown(120)


@pytest.mark.lg_feature(["shell", "watchdog"])
async def test_a_machine_that_stands_still_restarts(bench: Bench) -> None:
    before = bench.run("cat /proc/sys/kernel/random/boot_id")
    bench.run("echo 0 >/proc/sys/kernel/panic")
    bench.restarts("echo c >/proc/sysrq-trigger")
    await bench.until(lambda told: told["uptime_s"] < 30, 300, "it started again")
    assert bench.run("cat /proc/sys/kernel/random/boot_id") != before
