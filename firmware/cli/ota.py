"""`veilcam ota`: updates, on the authors' side and on the device's."""

import argparse
import base64
import hashlib
import json
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from firmware.cli import ota_device, ota_keys, ota_rauc
from firmware.cli.sbom import bill_of_materials
from firmware.core.policy import POLICIES
from firmware.errors import ConfigError, UpdateError, UsageError
from firmware.state import written
from firmware.update.delta import make_delta
from ota.author import Notes, Repository, build, pack
from ota.bundle import UnverifiedBundle, read_bundle, require_bill
from ota.errors import Code, UpdateRefused
from ota.metadata import Floor, Here, VerifiedRelease, verify
from ota.release import AEADS, Privacy, Release
from ota.stanza import PublicKey, read_public
from ota.unpack import require_sealed


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Signed and encrypted updates. Authors keep a repository (keys and signed metadata) and build "
        "bundles from a folder; whoever has the repository's first root can verify one."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ota_keys.fill(actions.add_parser("keys", help="make and change the authors' keys; print a device's"))
    _fill_build(actions.add_parser("build", help="seal a folder for devices, sign it, write a bundle"))
    inspect = actions.add_parser("inspect", help="print what a bundle says of itself, without believing it")
    inspect.add_argument("bundle", metavar="BUNDLE", type=Path)
    inspect.set_defaults(handler=handle_inspect)
    check = actions.add_parser("verify", help="verify a bundle: who signed it, and every byte of it")
    check.add_argument("bundle", metavar="BUNDLE", type=Path)
    check.add_argument(
        "--anchor", metavar="FILE", type=Path, required=True, help="REPOSITORY/metadata/1.root.json"
    )
    check.add_argument("--board", action="append", required=True, help="the board that it is for")
    check.add_argument(
        "--folder", metavar="FOLDER", type=Path, help="what it has to be built from, to the byte"
    )
    check.set_defaults(handler=handle_verify)
    ota_rauc.fill(actions)
    ota_device.fill(actions)
    for one in (inspect, check):
        one.add_argument("--json", action="store_true", help="print one JSON object")


def _fill_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what is to be installed")
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument("--repository", metavar="DIR", type=Path, required=True)
    parser.add_argument("--version", required=True, help="such as 1.4.0")
    parser.add_argument("--counter", type=int, required=True, help="security counter; never goes back")
    parser.add_argument("--board", action="append", required=True, help="a board that it is for")
    parser.add_argument(
        "--recipient",
        action="append",
        type=_public,
        required=True,
        help="a device's key: veilcam ota keys device",
    )
    parser.add_argument("--policy", choices=list(POLICIES), default="people", help="what the version hides")
    parser.add_argument("--recall", type=float, default=1.0, help="share of people that its self-test finds")
    parser.add_argument(
        "--delta-from",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="a version that was built before: devices that run it read what differs alone",
    )
    parser.add_argument("--aead", choices=AEADS, default=AEADS[0], help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(handler=handle_build)


def _public(text: str) -> PublicKey:
    try:
        return read_public(base64.b64decode(text, validate=True))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(
            "not a device's key; print one with: veilcam ota keys device"
        ) from exc


def handle_build(args: argparse.Namespace) -> int:
    """Seal, sign and write."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: no such folder")
    if not args.repository.is_dir():
        raise UsageError(f"{args.repository}: no such repository; make it with: veilcam ota keys create")
    notes = Notes(
        args.version,
        args.counter,
        tuple(args.board),
        Privacy(POLICIES[args.policy].digest, round(args.recall * 10_000)),
        bill_of_materials(args.version),
        aead=args.aead,
    )
    beside = args.bundle.absolute().parent
    with ExitStack() as files:
        plain = files.enter_context(tempfile.TemporaryFile(dir=beside))
        pack(args.folder, plain)
        repository, _ = files.enter_context(ota_keys.opened(args.repository))
        deltas: dict[str, BinaryIO] = {}
        for base in args.delta_from:
            deltas[_built_from(base, repository, beside).id] = delta = files.enter_context(
                tempfile.TemporaryFile(dir=beside)
            )
            make_delta(base, args.folder, delta)
        bar = files.enter_context(_bar(2 * sum(file.tell() for file in (plain, *deltas.values())), "sealing"))
        with written(args.bundle) as part, part.open("wb") as out:
            release = build(repository, notes, plain, args.recipient, out, progress=bar.update, deltas=deltas)
    told = {"id": release.id, "version": release.version, "bytes": args.bundle.stat().st_size}
    print(
        json.dumps(told) if args.json else f"{args.bundle}: version {release.version}, {told['bytes']} bytes"
    )
    return 0


def _built_from(folder: Path, repository: Repository, beside: Path) -> Release:
    """Return the release that a folder was built into."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = _packed_digest(folder, beside)
    for release in repository.releases():
        if release.plain_sha256 == found:
            return release
    raise UsageError(f"{folder}: no release of {repository.folder} was built from it, as it is now")


def _packed_digest(folder: Path, beside: Path) -> str:
    """Return the SHA-256 that a folder's payload has, whoever packs it."""
    with tempfile.TemporaryFile(dir=beside) as plain:
        pack(folder, plain)
        plain.seek(0)
        return hashlib.file_digest(plain, "sha256").hexdigest()


def handle_inspect(args: argparse.Namespace) -> int:
    """Print what is said, by whoever said it."""
    with _opened(args.bundle) as file:
        bundle = _read(args.bundle, file)
    told = {name: json.loads(content).get("signed", {}) for name, content in bundle.files.items()}
    releases = [
        target.get("custom", {})
        for name, signed in told.items()
        if name.endswith("targets.json")
        for target in signed.get("targets", {}).values()
    ]
    if args.json:
        print(json.dumps({"verified": False, "releases": releases}))
        return 0
    print("NOT VERIFIED: this is what the file says of itself")
    for release in releases:
        version, counter, boards = (release.get(key) for key in ("version", "counter", "compatible"))
        print(f"version {version}, security counter {counter}, for {boards}")
    return 0


def handle_verify(args: argparse.Namespace) -> int:
    """Verify the metadata and every byte of the payload."""
    with _opened(args.bundle) as file:
        bundle = _read(args.bundle, file)
        try:
            verified = _verified(bundle, args.anchor, args.board)
            require_bill(bundle, verified.release)
            with _bar(sum(part.sealed_length for part in verified.release.parts), "verifying") as bar:
                require_sealed(verified, file, bar.update)
            if args.folder is not None:
                _require_built_from(args.folder, verified.release)
        except UpdateRefused as exc:
            raise UpdateError(f"{args.bundle}: {exc.code}: {exc}") from exc
    release = verified.release
    told = {"verified": True, "version": release.version, "counter": release.counter, "id": release.id}
    line = f"{args.bundle}: version {release.version}, as its authors signed it"
    print(json.dumps(told) if args.json else line)
    return 0


def _require_built_from(folder: Path, release: Release) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    with tempfile.TemporaryDirectory(prefix="veilcam-verify-") as beside:
        if _packed_digest(folder, Path(beside)) != release.plain_sha256:
            raise UpdateRefused(Code.CORRUPT, f"what is sealed in it is not the folder {folder}")


def _verified(bundle: UnverifiedBundle, anchor: Path, boards: list[str]) -> VerifiedRelease:
    try:
        trusted = anchor.read_bytes()
    except OSError as exc:
        raise UsageError(f"{anchor}: {exc.strerror}; give the repository's 1.root.json") from exc
    return verify(bundle.files, trusted, Floor(), Here(boards, datetime.now(UTC)))


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}; name a bundle") from exc


def _read(path: Path, file: BufferedReader) -> UnverifiedBundle:
    try:
        return read_bundle(file)
    except UpdateRefused as exc:
        raise UpdateError(f"{path}: {exc.code}: {exc}") from exc


def _bar(total: int, what: str) -> "tqdm[None]":
    return tqdm(
        total=total, desc=what, unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
    )
