"""Decides which release is to be believed: TUF metadata, a trusted root and a floor that never goes back.

`verify` takes bytes and returns objects. The workflow of the TUF specification (section 5) is python-tuf's
(ngclient over what we hand it, in a folder of its own that is thrown away; it keeps no cache, because with a
cache that a power cut zeroed it takes an older repository). What it does not hold, the floor does. In order:

1. there is a trust anchor, or nothing is verified at all;
2. every file is bounded JSON with one meaning, before anybody parses it further;
3. root (each version in turn, by the thresholds of old and new), timestamp, snapshot, targets: signed, of the
   versions and digests that the one before states, not expired by this machine's clock (python-tuf);
4. not older than the floor's, role by role; a role whose keys the root has changed since begins anew, so that
   whoever had its keys cannot lock a fleet out with a version of 2**31;
5. not expired by the floor's time, where this machine's clock is behind it;
6. one release of those that are listed is for this board; its target states the same sealed bytes;
7. its security counter is not below the floor's.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from ota.errors import Code, UpdateRefused
from ota.release import Release, read_release
from ota.strict import load

ISSUED = "x-veilcam-issued"
"""Field of the timestamp: when it was signed, seconds since 1970; time that an attacker cannot set."""
PREFIX = "releases/"
MOST_ROTATIONS = 64
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own in it
"""python-tuf wants a folder; what lies in memory needs no disk and survives nothing."""
LONGEST: Mapping[str, int] = {
    "root": 512_000,
    "timestamp": 16_384,
    "snapshot": 65_536,
    "targets": 4_000_000,
}
ROLES = ("timestamp", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class Floor:
    """What was believed before and nothing may go below; kept sealed by whoever installs."""

    root: bytes = field(default=b"", repr=False)
    versions: Mapping[str, int] = field(default_factory=dict)
    """Of timestamp, snapshot and targets."""
    counter: int = 0
    time_s: int = 0


@final
@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release that its authors signed, for this board, not below the floor; `verify` alone makes one."""

    release: Release
    seen: Floor
    """The floor from now on, but for the counter, which rises when the version has been confirmed."""


@dataclass(frozen=True, slots=True)
class Here:
    """Where an update is to be installed: the board's names, and what time it is as far as anybody knows."""

    boards: Sequence[str]
    now: datetime


def verify(files: Mapping[str, bytes], anchor: bytes, floor: Floor, here: Here) -> VerifiedRelease:
    """Return the newest release for this board; raises UpdateRefused.

    `files` are TUF metadata by name: `2.root.json`, `timestamp.json`, `7.snapshot.json`, `9.targets.json`.
    `anchor` is the root that the firmware was built with.
    """
    # 1
    trusted = _trusted_root(anchor, floor.root)
    # 2
    for name, content in files.items():
        load(content, LONGEST.get(_role_of(name), 0), name)
    # 3
    believed = _refreshed(files, trusted)
    # 4
    _require_not_older(believed, trusted, floor)
    # 5
    known = datetime.fromtimestamp(floor.time_s, UTC)
    for one in (believed.root, believed.timestamp, believed.snapshot, believed.targets):
        if one.is_expired(max(here.now, known)):
            raise UpdateRefused(
                Code.EXPIRED, f"{one.type} expired on {one.expires:%Y-%m-%d}; ask for newer metadata"
            )
    # 6
    release = _chosen(believed.targets, here.boards)
    # 7
    if release.counter < floor.counter:
        raise UpdateRefused(
            Code.ROLLBACK, f"security counter {release.counter} is below {floor.counter}, which ran here"
        )
    versions = {role: getattr(believed, role).version for role in ROLES}
    issued = believed.timestamp.unrecognized_fields.get(ISSUED, 0)
    time_s = max(floor.time_s, issued if type(issued) is int else 0)
    return VerifiedRelease(release, Floor(believed.root_bytes, versions, floor.counter, time_s))


@dataclass(frozen=True, slots=True)
class _Believed:
    root: Root
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets
    root_bytes: bytes


class _Given(FetcherInterface):
    """Hands python-tuf the files that there are."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name not in self._files:
            raise DownloadHTTPError(f"{name} is not there", 404)
        yield self._files[name]

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Give a file; unlike the base class, without a copy in a temporary one."""
        (content,) = self._fetch(url)
        if len(content) > max_length:
            raise DownloadLengthMismatchError(f"{url} is longer than {max_length} bytes")
        return content


def _trusted_root(anchor: bytes, kept: bytes) -> bytes:
    """Return the newer of both roots; the kept one was verified from the anchor before it was kept."""
    if not anchor:
        raise UpdateRefused(Code.NO_ANCHOR, "this firmware has no trust anchor: nothing can be verified")
    return max((one for one in (anchor, kept) if one), key=lambda one: _root(one).version)


def _root(content: bytes) -> Root:
    try:
        return Metadata[Root].from_bytes(content).signed
    except RepositoryError as exc:
        raise UpdateRefused(
            Code.NO_ANCHOR, "the trust anchor cannot be read: nothing can be verified"
        ) from exc


def _refreshed(files: Mapping[str, bytes], trusted: bytes) -> _Believed:
    config = UpdaterConfig(
        max_root_rotations=MOST_ROTATIONS,
        max_delegations=0,
        root_max_length=LONGEST["root"],
        timestamp_max_length=LONGEST["timestamp"],
        snapshot_max_length=LONGEST["snapshot"],
        targets_max_length=LONGEST["targets"],
    )
    with tempfile.TemporaryDirectory(prefix="veilcam-tuf-", dir=MEMORY) as folder:
        try:
            updater = Updater(folder, "given:", fetcher=_Given(files), config=config, bootstrap=trusted)
            updater.refresh()
        except RepositoryError as exc:
            raise UpdateRefused(_code_of(exc), f"metadata: {exc}") from exc
        except (DownloadError, OSError, ValueError) as exc:
            raise UpdateRefused(Code.UNAVAILABLE, f"metadata: {exc}") from exc
        kept = {role: (Path(folder) / f"{role}.json").read_bytes() for role in ("root", *ROLES)}
    return _Believed(
        Metadata[Root].from_bytes(kept["root"]).signed,
        Metadata[Timestamp].from_bytes(kept["timestamp"]).signed,
        Metadata[Snapshot].from_bytes(kept["snapshot"]).signed,
        Metadata[Targets].from_bytes(kept["targets"]).signed,
        kept["root"],
    )


def _code_of(exc: RepositoryError) -> Code:
    kinds: Sequence[tuple[type[Exception], Code]] = (
        (ExpiredMetadataError, Code.EXPIRED),
        (BadVersionNumberError, Code.ROLLBACK),
        (LengthOrHashMismatchError, Code.CORRUPT),
        (UnsignedMetadataError, Code.UNSIGNED),
    )
    return next((code for kind, code in kinds if isinstance(exc, kind)), Code.MALFORMED)


def _require_not_older(believed: _Believed, trusted: bytes, floor: Floor) -> None:
    before = _root(trusted)
    for role in ROLES:
        same_keys = before.roles[role].keyids == believed.root.roles[role].keyids
        found, least = getattr(believed, role).version, floor.versions.get(role, 0)
        if same_keys and found < least:
            raise UpdateRefused(Code.ROLLBACK, f"{role} has version {found}; version {least} was here before")


def _chosen(targets: Targets, boards: Sequence[str]) -> Release:
    """Return the release of the highest counter that is for one of the boards."""
    found = [_release_of(target) for path, target in targets.targets.items() if path.startswith(PREFIX)]
    fitting = [release for release in found if set(release.compatible) & set(boards)]
    if not fitting:
        raise UpdateRefused(Code.INCOMPATIBLE, f"no release is for this board ({', '.join(boards)})")
    return max(fitting, key=lambda release: release.counter)


def _release_of(target: TargetFile) -> Release:
    custom: Any = target.custom
    if not isinstance(custom, dict):
        raise UpdateRefused(Code.MALFORMED, f"{target.path} says nothing about itself")
    release = read_release(custom)
    if (target.length, target.hashes.get("sha256")) != (release.sealed_length, release.sealed_sha256):
        raise UpdateRefused(Code.MALFORMED, f"{target.path} states two different files")
    return release


def _role_of(name: str) -> str:
    """Return the role of `7.snapshot.json` or `timestamp.json`."""
    stem = name.removesuffix(".json")
    number, _, role = stem.rpartition(".")
    return role if number.isdigit() or not number else ""
