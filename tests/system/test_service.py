"""The units that start the camera, as systemd itself reads them; nothing is started here."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = ROOT / "scripts" / "system"
UNITS = sorted(p.name for kind in ("service", "path") for p in SYSTEM.glob(f"*.{kind}"))


def told(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def service() -> dict[str, list[str]]:
    """Return the keys of [Service] with all their values."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (SYSTEM / "veilcam.service").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith("#") and section == "[Service]":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_camera_is_exposed_by_two_of_ten_at_most() -> None:
    unit = str(SYSTEM / "veilcam.service")
    done = told("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout + done.stderr
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None
    assert 0 < float(level[1]) <= 2.0
    assert "Unknown" not in done.stderr, done.stderr


def test_it_has_no_capability_and_no_disk_for_its_memory() -> None:
    keys = service()
    assert keys["CapabilityBoundingSet"] == [""]
    assert keys["NoNewPrivileges"] == ["yes"]
    assert (keys["LimitCORE"], keys["MemorySwapMax"]) == (["0"], ["0"])
    assert (keys["Type"], keys["NotifyAccess"], keys["WatchdogSec"]) == (["notify"], ["main"], ["30"])
    assert keys["DevicePolicy"] == ["closed"]


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("opt/veilcam/venv/bin/veilcam", "bin/sh"):
        program = root / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n", encoding="ascii")
        program.chmod(0o755)
    placed(root)
    assert [line for unit in UNITS for line in faults(root, unit)] == []
    unit = root / "usr/lib/systemd/system/veilcam.service"
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notifi"))
    assert [line.rpartition(" ")[2] for line in faults(root, unit.name)] == ["notifi"]


def faults(root: Path, unit: str) -> list[str]:
    """Return what systemd does not understand of a unit; no other unit is under `root`."""
    done = told("systemd-analyze", "verify", "--man=no", f"--root={root}", unit)
    return [line for line in done.stderr.splitlines() if re.search(r"veilcam[^:]*:\d+:", line)]


def placed(root: Path) -> None:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    done = told(str(SYSTEM / "place"), str(root))
    assert done.returncode == 0, done.stderr


def test_it_is_placed_and_enabled_for_a_user_without_a_shell(tmp_path: Path) -> None:
    root = tmp_path / "root"
    placed(root)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    assert {link.name for link in wanted.iterdir()} == {
        "veilcam.service",
        "veilcam-claim.path",
        "veilcam-restart.path",
    }
    (line,) = [line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("veilcam:")]
    assert line.endswith(":/var/lib/veilcam:/usr/sbin/nologin")
    groups = (root / "etc/group").read_text()
    assert re.search(r"^video:.*:veilcam$", groups, re.MULTILINE)
    state = root / "var/lib/veilcam"
    assert state.stat().st_mode & 0o777 == 0o700
    placed(root)


def test_every_group_of_devices_is_one_that_a_rule_or_the_system_gives() -> None:
    rules = (SYSTEM / "99-veilcam.rules").read_text(encoding="utf-8")
    groups = set(re.findall(r'GROUP="(\w+)"', rules))
    assert groups == {"veilcam", "video"}


@pytest.mark.parametrize("asked", ["", "0 tryboot"])
def test_a_restart_that_the_camera_asks_for_is_what_the_unit_reads(asked: str, tmp_path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read(SYSTEM / "veilcam-restart.service")
    command = parser["Service"]["ExecStart"].removeprefix("/bin/sh -c ").strip("'").replace("$$", "$")
    (tmp_path / "restart").write_text(asked, encoding="ascii")
    fake = tmp_path / "bin" / "systemctl"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="ascii")
    fake.chmod(0o755)
    command = command.replace("/run/veilcam/restart", str(tmp_path / "restart"))
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": f"{fake.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split("|")[:-1] == ["reboot", *([f"--reboot-argument={asked}"] if asked else [])]
    assert not (tmp_path / "restart").exists()


def test_an_exposure_that_rises_is_seen(tmp_path: Path) -> None:
    """The gate itself: without a few of its lines the same unit is refused."""
    text = (SYSTEM / "veilcam.service").read_text(encoding="utf-8")
    for line in ("CapabilityBoundingSet=\n", "ProtectSystem=strict\n", "SystemCallFilter=@system-service\n"):
        assert line in text
        text = text.replace(line, "")
    worse = tmp_path / "veilcam.service"
    worse.write_text(text, encoding="utf-8")
    done = told("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(worse))
    assert done.returncode != 0
