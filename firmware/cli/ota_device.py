"""The device's side of `veilcam ota`: what it trusts, installs, runs, keeps and gives up."""

import argparse
import contextlib
import json
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from tqdm import tqdm

from firmware.cli.local import DEFAULT_STATE, ask
from firmware.config.profile import chosen_profile
from firmware.errors import CameraRefused, ConfigError, UpdateError, VeilcamError
from firmware.update.boot.choose import open_slots
from firmware.update.boot.port import BootControl
from firmware.update.device import Board, trust
from firmware.update.turn import BOOTED

API = "/api/v1/update"
PROGRESS_S = 0.5
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
    restart = actions.add_parser("restart", help="restart the machine into the version that is armed")
    restart.description = (
        "For boards with two system slots: asks the bootloader for the one trial that is armed, and restarts "
        "the machine. Where versions lie in folders, a start of the camera is enough and this is refused."
    )
    restart.set_defaults(handler=handle_restart)
    boot = actions.add_parser("boot", help="choose the version of this start and become it")
    boot.description = (
        f"Runs the file {RUN!r} of the version that this start is to take, with the arguments after --. "
        "Whoever starts the camera calls this each time: a version that is tried and does not confirm itself "
        "is not taken again. Where no version is installed, or the board has system slots, this firmware "
        "itself runs."
    )
    boot.add_argument("words", metavar="-- ARGS", nargs="*", help="such as: -- run --board laptop")
    boot.set_defaults(handler=handle_boot)
    for action in (
        root,
        install,
        boot,
        restart,
        *(actions.choices[name] for name in ("status", "confirm", "rollback")),
    ):
        action.add_argument(
            "--state", metavar="DIR", type=Path, default=DEFAULT_STATE, help="default: %(default)s"
        )
        action.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
        action.add_argument("--json", action="store_true", help="print one JSON object")


def handle_trust(args: argparse.Namespace) -> int:
    """Keep the root."""
    try:
        content = args.root.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{args.root}: {exc.strerror}; name the repository's 1.root.json") from exc
    print(f"{args.root}: trusted from now on; its SHA-256 is {trust(args.state, content)}")
    return 0


def handle_install(args: argparse.Namespace) -> int:
    """Have the camera take a bundle."""
    # The camera may run elsewhere than we do.
    where = args.bundle if "://" in args.bundle else str(Path(args.bundle).absolute())
    body: dict[str, object] = {"bundle": where}
    if "://" not in where and not Path(where).is_file():
        raise ConfigError(f"{args.bundle}: no such bundle")
    if args.statement is not None:
        body["statement"] = _read(args.statement)
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(_ask, args, "POST", API, body)
        if sys.stderr.isatty():
            _show_progress(args, asked)
        return _tell(args, asked.result())


def _show_progress(args: argparse.Namespace, asked: "Future[dict[str, object]]") -> None:
    """Draw how much is written until the camera has answered."""
    with tqdm(desc="writing", unit="B", unit_scale=True, leave=False) as bar:
        while not asked.done():
            wait([asked], PROGRESS_S)
            with contextlib.suppress(VeilcamError):
                writing = _ask(args, "GET", API)["writing"]
                if isinstance(writing, dict):
                    bar.total = writing["total"]
                    bar.update(writing["done"] - bar.n)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read; give what veilcam owner allow-update printed") from exc


def handle_step(args: argparse.Namespace) -> int:
    """Tell, confirm or give up."""
    if args.step == "status":
        return _tell(args, _ask(args, "GET", API))
    return _tell(args, _ask(args, "POST", f"{API}/{args.step}"))


def _ask(
    args: argparse.Namespace, method: str, path: str, body: dict[str, object] | None = None
) -> dict[str, object]:
    profile = chosen_profile(args.board)
    try:
        return ask(args.state, method, path, body, Board(profile.name, profile.boot))
    except CameraRefused as exc:
        raise UpdateError(str(exc)) from exc


def handle_restart(args: argparse.Namespace) -> int:
    """Restart the machine into what is armed."""
    _slots(args).restart()
    return 0


def _slots(args: argparse.Namespace) -> BootControl:
    return open_slots(chosen_profile(args.board).boot, args.state)


def handle_boot(args: argparse.Namespace) -> int:
    """Become the version of this start; does not return."""
    version = _slots(args).boot()
    if version is None:
        command = [sys.executable, "-m", "firmware", *args.words]
    else:
        command = [str(version / RUN), *args.words]
    sys.stdout.flush()
    os.environ[BOOTED] = "1"
    os.execv(command[0], command)  # noqa: S606 - the version was verified before it was written


def _tell(args: argparse.Namespace, told: dict[str, object]) -> int:
    if args.json:
        print(json.dumps(told))
    else:
        print(f"{told['phase']}: version {told['version'] or '-'}; security counter {told['counter']}")
        print(told["last"] or "no update yet")
    return 0
