"""`veilcam ota keys`: the authors' keys, in files or in tokens, and the key of a device."""

import argparse
import base64
import getpass
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.access.identity import known_identity
from firmware.cli.local import DEFAULT_STATE
from firmware.errors import ConfigError, KeyUnavailable, UsageError, VeilcamError
from firmware.update.author_keys import AuthorKeys
from firmware.update.token_file import Algorithm, Place
from ota.author import KeyMissing, Repository, RepositoryError, sign_root
from ota.metadata import ROLES

PIN = "VEILCAM_TOKEN_PIN"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    parser.description = (
        "A key is a file in REPOSITORY/keys (NAME.pem), or lies in a token (PKCS#11) that a file there names "
        f"(NAME.p11). A token's PIN is asked for on the terminal, or taken from {PIN}."
    )
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    create = actions.add_parser(
        "create", help="make a repository: three root keys, of which two sign, and one a role"
    )
    create.add_argument("repository", metavar="REPOSITORY", type=Path)
    create.set_defaults(handler=handle_create)
    rotate = actions.add_parser("rotate", help="give a role a new key, by a new root")
    rotate.add_argument("repository", metavar="REPOSITORY", type=Path)
    rotate.add_argument("role", choices=("root", *ROLES))
    rotate.add_argument(
        "--by", metavar="NAME", action="append", help="a root key that signs (default: each that is here)"
    )
    rotate.set_defaults(handler=handle_rotate)
    sign = actions.add_parser("sign", help="sign a root that waits, where its key is")
    sign.add_argument("root", metavar="FILE", type=Path, help="REPOSITORY/pending/N.root.json, or a copy")
    sign.add_argument(
        "--key", metavar="FILE", type=Path, required=True, help="a root key, root-N.pem or root-N.p11"
    )
    sign.set_defaults(handler=handle_sign)
    publish = actions.add_parser("publish", help="publish the root that waits, once enough have signed it")
    publish.add_argument("repository", metavar="REPOSITORY", type=Path)
    publish.set_defaults(handler=handle_publish)
    device = actions.add_parser(
        "device", help="print the public key that updates for a device are sealed for"
    )
    device.add_argument(
        "--state", metavar="DIR", type=Path, default=DEFAULT_STATE, help="default: %(default)s"
    )
    device.set_defaults(handler=handle_device)
    for one in (create, rotate):
        _fill_token(one)


def _fill_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token", metavar="MODULE", type=Path, help="make new keys in a token: its PKCS#11 module, a .so"
    )
    parser.add_argument("--token-label", metavar="LABEL", help="which token")
    parser.add_argument(
        "--algorithm",
        choices=[one.value for one in Algorithm],
        default=Algorithm.ED25519.value,
        help="of keys in a token (default: %(default)s)",
    )


@contextmanager
def opened(repository: Path, place: Place | None = None) -> Iterator[tuple[Repository, AuthorKeys]]:
    """Open a repository with its keys, wherever they are; raises KeyUnavailable, ConfigError."""
    keys = AuthorKeys(repository / "keys", ask_pin, place)
    try:
        yield Repository(repository, keys=keys), keys
    except KeyMissing as exc:
        raise KeyUnavailable(f"{repository}: {exc}") from exc
    except RepositoryError as exc:
        # python-tuf wraps what a token says.
        if isinstance(exc.__cause__, VeilcamError):
            raise exc.__cause__ from exc
        raise ConfigError(f"{repository}: {exc}; put its metadata back from a copy") from exc
    finally:
        keys.close()


def ask_pin(token: str) -> str:
    """Return a token's PIN, which is never an argument: other programs could read it there."""
    told = os.environ.get(PIN, "")
    if told:
        return told
    if not sys.stdin.isatty():
        raise KeyUnavailable(f"token {token!r}: no terminal to ask for its PIN at; set {PIN}")
    try:
        return getpass.getpass(f"PIN of token {token}: ")
    except EOFError as exc:
        raise KeyUnavailable(f"token {token!r}: no PIN was given; try again, or set {PIN}") from exc


def _place(args: argparse.Namespace) -> Place | None:
    if args.token is None and args.token_label is None:
        return None
    if args.token is None or not args.token_label:
        raise UsageError("ota keys: give both --token MODULE and --token-label LABEL, or neither")
    return Place(str(args.token.absolute()), args.token_label, Algorithm(args.algorithm))


def handle_create(args: argparse.Namespace) -> int:
    """Make a repository."""
    place, there = _place(args), args.repository.exists()
    try:
        with opened(args.repository, place) as (repository, keys):
            keys.open_place()
            repository.create()
    except KeyUnavailable:
        # Half a repository is none, and would be in the way of the next try.
        if not there:
            shutil.rmtree(args.repository, ignore_errors=True)
        raise
    except OSError as exc:
        raise UsageError(f"{args.repository}: {exc.strerror}; name a folder that is not there yet") from exc
    print(f"{args.repository}: made; keep keys/ to yourself; metadata/1.root.json is firmware's anchor")
    return 0


def handle_rotate(args: argparse.Namespace) -> int:
    """Give a role a new key."""
    with opened(args.repository, _place(args)) as (repository, keys):
        keys.open_place()
        pending = repository.rotate(args.role, args.by)
    if pending is None:
        print(f"{args.role}: has a new key; devices take it with the next update")
    else:
        print(f"{pending}: waits for root keys; sign it where they are (ota keys sign), then: publish")
    return 0


def handle_sign(args: argparse.Namespace) -> int:
    """Sign a root that waits."""
    with opened(args.root) as (_, keys):
        try:
            sign_root(args.root, keys.read(args.key))
        except OSError as exc:
            raise ConfigError(f"{exc.filename}: {exc.strerror}; name a root that waits") from exc
    print(f"{args.root}: signed; bring it back to pending/, then: veilcam ota keys publish REPOSITORY")
    return 0


def handle_publish(args: argparse.Namespace) -> int:
    """Publish a root."""
    with opened(args.repository) as (repository, _):
        if not repository.publish_root():
            raise UsageError(f"{args.repository}: no root waits, or too few of its keys have signed it")
    print(f"{args.repository}: published; devices take it with the next update")
    return 0


def handle_device(args: argparse.Namespace) -> int:
    """Print a device's public key."""
    identity = known_identity(args.state)
    if identity is None:
        raise UsageError(f"{args.state}: no camera has run there; name another with --state")
    print(base64.b64encode(identity.keys.exchange_public).decode())
    return 0
