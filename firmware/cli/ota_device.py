"""The device's side of `veilcam ota`: what it trusts, installs, runs, keeps and gives up."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path

from tqdm import tqdm

from firmware.access.allowance import require_allowed
from firmware.access.identity import open_identity
from firmware.access.owner import Ownership
from firmware.access.statement import StatementRefused
from firmware.cli.local import DEFAULT_STATE
from firmware.config.profile import chosen_profile
from firmware.errors import ConfigError, UpdateError, UsageError
from firmware.ports import SystemClock
from firmware.update.agent import Agent
from firmware.update.device import SLOTS, trust, update_agent
from firmware.update.fetch import RemoteBundle
from firmware.update.record import Record
from firmware.update.slots import DirectorySlots
from ota.bundle import BundleFile
from ota.errors import UpdateRefused
from ota.release import Release

RUN = "run"
"""What a version has at its top, and is started by."""


def fill(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the device's actions."""
    root = actions.add_parser("trust", help="give a camera the root that its updates are verified from, once")
    root.add_argument("root", metavar="FILE", type=Path, help="REPOSITORY/metadata/1.root.json")
    root.set_defaults(handler=handle_trust)
    install = actions.add_parser("install", help="verify a bundle and have it tried at the next start")
    install.add_argument("bundle", metavar="BUNDLE|URL", help="a file, or an https address")
    install.add_argument(
        "--statement", metavar="FILE", type=Path, help="the owner's word for a weaker version"
    )
    install.set_defaults(handler=handle_install)
    for name, line in (
        ("status", "what runs, what is being tried, how the last update went"),
        ("confirm", "keep the version that is on trial; a camera does this itself once it works"),
        ("rollback", "give up what is armed or on trial"),
    ):
        actions.add_parser(name, help=line).set_defaults(handler=handle_step, step=name)
    boot = actions.add_parser("boot", help="choose the version of this start and become it")
    boot.description = (
        f"Runs the file {RUN!r} of the version that this start is to take, with the arguments after --. "
        "Whoever starts the camera calls this each time: a version that is tried and does not confirm itself "
        "is not taken again. Where no version is installed, this firmware itself runs."
    )
    boot.add_argument("words", metavar="-- ARGS", nargs="*", help="such as: -- run --board laptop")
    boot.set_defaults(handler=handle_boot)
    for action in (
        root,
        install,
        boot,
        *(actions.choices[name] for name in ("status", "confirm", "rollback")),
    ):
        action.add_argument(
            "--state", metavar="DIR", type=Path, default=DEFAULT_STATE, help="default: %(default)s"
        )
        action.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
        action.add_argument("--json", action="store_true", help="print one JSON object")


@contextmanager
def _agent(args: argparse.Namespace) -> Iterator[Agent]:
    if not args.state.is_dir():
        raise UsageError(
            f"{args.state}: no such folder; name a camera's with --state, or run the camera once"
        )
    identity, boards = open_identity(args.state), (chosen_profile(args.board).name,)
    try:
        with update_agent(args.state, identity, boards, SystemClock()) as agent:
            yield agent
    except UpdateRefused as exc:
        raise UpdateError(f"{exc.code}: {exc}") from exc


def handle_trust(args: argparse.Namespace) -> int:
    """Keep the root."""
    try:
        content = args.root.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{args.root}: {exc.strerror}; name the repository's 1.root.json") from exc
    print(f"{args.root}: trusted from now on; its SHA-256 is {trust(args.state, content)}")
    return 0


def handle_install(args: argparse.Namespace) -> int:
    """Install a bundle."""
    with ExitStack() as opened, _agent(args) as agent, _bar() as bar:
        file: BundleFile
        if "://" in args.bundle:
            file = opened.enter_context(RemoteBundle(args.bundle))
        else:
            file = opened.enter_context(_opened(Path(args.bundle)))
        agent.install(file, lambda release: _is_allowed(args, release), bar.update)
        return _tell(args, agent.now)


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}; name a bundle") from exc


def _is_allowed(args: argparse.Namespace, release: Release) -> bool:
    """Say whether the owner has signed for a release that weakens privacy; raises UpdateError."""
    if args.statement is None:
        return False
    clock, device = SystemClock(), open_identity(args.state).fingerprint
    owner = Ownership(args.state, clock).owner
    try:
        told = args.statement.read_text(encoding="utf-8")
        require_allowed(told, owner, device, (release.id, release.counter), clock.wall_ns() / 1e9)
    except (OSError, UnicodeDecodeError, StatementRefused) as exc:
        raise UpdateError(f"{args.statement}: {exc}") from exc
    return True


def handle_step(args: argparse.Namespace) -> int:
    """Tell, confirm or give up."""
    with _agent(args) as agent:
        if args.step == "confirm":
            agent.confirm()
        elif args.step == "rollback":
            agent.rollback("given up on the command line")
        return _tell(args, agent.now)


def handle_boot(args: argparse.Namespace) -> int:
    """Become the version of this start; does not return."""
    version = DirectorySlots(args.state / SLOTS).boot()
    if version is None:
        command = [sys.executable, "-m", "firmware", *args.words]
    else:
        command = [str(version / RUN), *args.words]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the version was verified before it was written


def _tell(args: argparse.Namespace, record: Record) -> int:
    told = {
        "phase": record.phase.value,
        "version": record.version,
        "counter": record.floor.counter,
        "last": record.last,
        "running": DirectorySlots(args.state / SLOTS).running(),
    }
    if args.json:
        print(json.dumps(told))
    else:
        print(
            f"{record.phase.value}: version {record.version or '-'}; security counter {record.floor.counter}"
        )
        print(record.last or "no update yet")
    return 0


def _bar() -> "tqdm[None]":
    return tqdm(
        desc="installing",
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not sys.stderr.isatty(),
    )
