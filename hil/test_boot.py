"""From power to the first hidden picture, and what the machine is then."""

import time
from pathlib import Path

import pytest
from labgrid.driver import ExecutionError

from hil.bench import STATE, Bench, described
from hil.emulated import network
from hil.results import Results


async def test_it_boots_to_ready_and_shows_pictures(bench: Bench, results: Results) -> None:
    begun = time.monotonic()
    told = await bench.until_ready(180)
    results.figure("power to ready", time.monotonic() - begun, "s of the rig")
    assert told["device"]
    if "console" in bench.target.env.get_target_features():
        await bench.until(lambda told: "claim code: " in bench.said, 60, "the console shows the claim code")
    seen = lambda told: told["released"].get("verified", 0) > 0  # noqa: E731
    told = await bench.until(seen, 120, "pictures are looked at themselves")
    results.about(chain=told["chain"], detectors=", ".join(told["detectors"]))


@pytest.mark.lg_feature("shell")
def test_what_runs_is_arm64_and_whole(bench: Bench, results: Results) -> None:
    assert bench.run("uname -m") == "aarch64"
    results.about(kernel=bench.run("uname -r"), systemd=bench.run("systemctl --version | head -n 1"))
    assert bench.run("systemctl is-system-running --wait || true", 120) == "running", bench.run(
        "systemctl --failed --no-pager"
    )
    assert "NotifyAccess=main" in bench.run("systemctl show veilcam -p NotifyAccess -p ActiveState")
    assert "ActiveState=active" in bench.run("systemctl show veilcam -p ActiveState")


@pytest.mark.lg_feature(["shell", "slots"])
@pytest.mark.parametrize(
    "path", ["/x", "/usr/bin/x", "/etc/x", "/opt/veilcam/venv/x", "/var/lib/x", "/boot/x"]
)
def test_the_root_is_read_only(bench: Bench, path: str) -> None:
    with pytest.raises(ExecutionError):
        bench.run(f"touch {path}")
    with pytest.raises(ExecutionError):
        bench.run("mount -o remount,rw /")
    assert " squashfs (ro," in bench.run("mount | grep ' on / '")
    assert bench.run("dmsetup table root | cut -d' ' -f3") == "verity"


@pytest.mark.lg_feature(["shell", "slots"])
def test_nothing_listens_but_the_camera_and_nobody_can_log_in(bench: Bench) -> None:
    heard = [line.split() for line in bench.run("ss -Hltnup").splitlines()]
    asked = {(line[0], line[4].rpartition(":")[2]) for line in heard if "systemd-network" not in line[-1]}
    # UDP sockets are the camera's own, one for each viewer's connection; DHCP's client is systemd-networkd.
    assert {one for one in asked if one[0] == "tcp"} == {("tcp", "8443")}, heard
    assert all(
        "veilcam" in line[-1] or "python3" in line[-1]
        for line in heard
        if line[0] == "udp" and "systemd" not in line[-1]
    )
    shells = {line.rpartition(":")[2] for line in bench.run("cat /etc/passwd").splitlines()}
    assert shells <= {"/usr/sbin/nologin", "/bin/sync", "/bin/false", "/usr/bin/false"}
    assert {line.split(":")[1] for line in bench.run("cat /etc/shadow").splitlines()} == {"!*"}
    assert "getty" not in bench.run(
        "systemctl list-units --no-legend --no-pager 'getty*' 'serial-getty*' | cat"
    )
    assert bench.run("cat /proc/swaps").count("\n") == 0


@pytest.mark.lg_feature(["shell", "slots"])
def test_the_camera_is_a_user_with_nothing(bench: Bench) -> None:
    pid = bench.run("systemctl show veilcam -p MainPID --value")
    told = dict(
        line.split(":\t", 1) for line in bench.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert told["CapEff"] == told["CapBnd"] == told["CapPrm"] == "0" * 16
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert told["Uid"].split()[0] == bench.run("id -u veilcam")
    assert bench.run(f"stat -c '%U %a' {STATE}") == "veilcam 700"
    limits = bench.run(f"grep 'core file' /proc/{pid}/limits").split()
    assert limits[4:6] == ["0", "0"]


@pytest.mark.lg_feature(["shell", "scene"])
async def test_inference_gives_what_it_gives_elsewhere(bench: Bench) -> None:
    """The same models on the same picture: boxes to a pixel, scores to a hundredth, and not the speed."""
    from hil import looks  # noqa: PLC0415 - the models are needed here for this alone

    there = bench.python(described(Path(looks.__file__)), within_s=120).splitlines()[-1]
    assert there.count("FACE") > 0
    assert there == await looks.looks()


@pytest.mark.lg_feature(["shell", "slots"])
def test_the_console_shows_nothing_of_roots(bench: Bench) -> None:
    """What a camera that was broken into leaves for the console shows no file and steers no terminal."""
    show = "systemctl start veilcam-claim.service; ls /run/veilcam/claim 2>&1 | cat"
    assert "root:" not in bench.run(f"ln -s /etc/shadow /run/veilcam/claim; {show}")
    told = bench.run(f"printf 'code\\033[31m\\033c\\n' >/run/veilcam/claim; {show}")
    assert "code[31mc" in told, told
    assert "No such file" in told, "it is gone once it was shown"


@pytest.mark.lg_feature(["shell", "emulated"])
def test_names_are_found_and_asked_of_the_networks_own_server(bench: Bench) -> None:
    assert network.HOST in bench.run(f"getent ahosts {network.NAME}")
    assert network.HOST in bench.run("grep nameserver /etc/resolv.conf")
