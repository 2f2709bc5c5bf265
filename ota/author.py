"""The authors' side: keys, a repository of signed metadata, and bundles.

A repository is a folder: `metadata/` is what is published, `keys/` what is not (see `ota.keys`; a root has
three keys of which two have to sign). Signing goes through securesystemslib's signers, so that a key in a
token signs the same way.
"""

import hashlib
import os
import secrets
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from ota.bundle import header
from ota.keys import KeyFiles, KeyMissing, Keys, read_key
from ota.metadata import ISSUED, PREFIX, ROLES
from ota.release import Part, Privacy, Release, read_release
from ota.stanza import KEY_BYTES, PublicKey, wrap
from ota.stream import cipher, seal, sealed_length

__all__ = ["KeyMissing", "Notes", "Repository", "RepositoryError", "build", "pack", "read_key", "sign_root"]

ROOT_KEYS, ROOT_THRESHOLD = 3, 2
VALID = {"root": timedelta(days=365), "timestamp": timedelta(days=30)}
USUAL = timedelta(days=90)
PART = 1 << 20

Progress = Callable[[int], object]
"""Is told of so many bytes more."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What the authors say of a version, beside its content."""

    version: str
    counter: int
    compatible: tuple[str, ...]
    privacy: Privacy
    sbom: bytes = b"{}"
    needs_counter: int = 0
    aead: str = "AES-256-GCM"


class Repository:
    """One folder of metadata and keys."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        keys: Keys | None = None,
    ) -> None:
        """Open a repository that is there, or is to be made; without `keys` they are files in `keys/`."""
        self.folder = folder
        self._now = clock
        self._keys = keys or KeyFiles(folder / "keys")

    @property
    def metadata(self) -> Path:
        """What is published."""
        return self.folder / "metadata"

    def create(self) -> None:
        """Make keys and the first, empty metadata; raises FileExistsError."""
        (self.folder / "keys").mkdir(parents=True, mode=0o700)
        self.metadata.mkdir()
        root = Root(expires=self._expires("root"), consistent_snapshot=True)
        for role, count in (("root", ROOT_KEYS), *((role, 1) for role in ROLES)):
            for number in range(1, count + 1):
                root.add_key(self._keys.make(f"{role}-{number}").public_key, role)
        root.roles["root"].threshold = ROOT_THRESHOLD
        first = Metadata(root)
        for number in range(1, ROOT_THRESHOLD + 1):
            first.sign(self._keys.signer(f"root-{number}"), append=True)
        (self.metadata / "1.root.json").write_bytes(first.to_bytes())
        self._publish({})

    def files(self, since_root: int = 1) -> dict[str, bytes]:
        """Return everything that a device needs: later roots, and the newest of the rest."""
        roots = {
            path.name: path.read_bytes()
            for path in self.metadata.glob("*.root.json")
            if int(path.name.partition(".")[0]) > since_root
        }
        names = [
            "timestamp.json",
            *(f"{self._version(role)}.{role}.json" for role in ("snapshot", "targets")),
        ]
        return roots | {name: (self.metadata / name).read_bytes() for name in names}

    def anchor(self) -> bytes:
        """Return the first root: what a firmware is built with."""
        return (self.metadata / "1.root.json").read_bytes()

    def add(self, release: Release) -> None:
        """Publish a release beside those that are there."""
        targets = Metadata[Targets].from_bytes(self._newest("targets")).signed.targets
        path = f"{PREFIX}{release.id}"
        hashes = {"sha256": release.sealed_sha256}
        made = TargetFile(release.sealed_length, hashes, path, {"custom": release.told()})
        self._publish({**targets, path: made})

    def releases(self) -> list[Release]:
        """Return every release that is published."""
        targets = Metadata[Targets].from_bytes(self._newest("targets")).signed.targets
        return [read_release(target.custom) for path, target in targets.items() if path.startswith(PREFIX)]

    def rotate(self, role: str, signers: Sequence[str] | None = None) -> Path | None:
        """Give a role a new key by a new root, for `root` in the place of its oldest.

        Every root key that is here signs, or those of these names. Where that is enough (two of the old
        root's keys, two of the new one's), the root is published, and None returned. Where root keys lie
        elsewhere, it waits in `pending/`: sign the file that is returned with each of them (`sign_root`),
        then call `publish_root`.
        """
        root = self._root()
        root.signed.revoke_key(root.signed.roles[role].keyids[0], role)
        root.signed.version += 1
        root.signed.expires = self._expires("root")
        made = f"{role}-r{root.signed.version}"
        # One that is there was made by a try that did not get to its end, such as for want of a token.
        there = made in self._keys.names(role)
        signer = self._keys.signer(made) if there else self._keys.make(made)
        root.signed.add_key(signer.public_key, role)
        root.signatures.clear()
        for name in self._keys.names("root") if signers is None else signers:
            root.sign(self._keys.signer(name), append=True)
        pending = self._pending(root.signed.version)
        pending.parent.mkdir(exist_ok=True)
        pending.write_bytes(root.to_bytes())
        return None if self.publish_root() else pending

    def publish_root(self) -> bool:
        """Publish the root that waits, if it has the signatures that it needs; False where it has not."""
        before, version = self._root(), self._version("root") + 1
        pending = self._pending(version)
        if not pending.exists():
            return False
        root = Metadata[Root].from_bytes(pending.read_bytes())
        told = root.signed.get_root_verification_result(before.signed, root.signed_bytes, root.signatures)
        if not told.verified:
            return False
        # What a key that is gone has signed is signed anew, and before the root is: it may have no key here.
        targets = Metadata[Targets].from_bytes(self._newest("targets")).signed.targets
        files = self._signed(targets, root.signed)
        pending.rename(self.metadata / f"{version}.root.json")
        self._write(files)
        return True

    def _pending(self, version: int) -> Path:
        return self.folder / "pending" / f"{version}.root.json"

    def _publish(self, targets: Mapping[str, TargetFile]) -> None:
        self._write(self._signed(targets, self._root().signed))

    def _write(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            (self.metadata / name).write_bytes(content)

    def _signed(self, targets: Mapping[str, TargetFile], root: Root) -> dict[str, bytes]:
        """Return targets, snapshot and timestamp signed anew, by name, in the order to write them in.

        All are signed before one is written: a key that is not there leaves the repository as it was.
        """
        number = self._version("targets") + 1
        signed = Targets(version=number, expires=self._expires("targets"), targets=dict(targets))
        content = self._sign("targets", Metadata(signed), root)
        files = {f"{number}.targets.json": content}
        meta = {"targets.json": MetaFile(number, len(content), {"sha256": _sha256(content)})}
        snapshot = Snapshot(
            version=self._version("snapshot") + 1, expires=self._expires("snapshot"), meta=meta
        )
        content = self._sign("snapshot", Metadata(snapshot), root)
        files[f"{snapshot.version}.snapshot.json"] = content
        stamp = Timestamp(
            version=self._version("timestamp") + 1,
            expires=self._expires("timestamp"),
            snapshot_meta=MetaFile(snapshot.version, len(content), {"sha256": _sha256(content)}),
            unrecognized_fields={ISSUED: int(self._now().timestamp())},
        )
        return files | {"timestamp.json": self._sign("timestamp", Metadata(stamp), root)}

    def _sign(self, role: str, metadata: Metadata[Any], root: Root) -> bytes:
        needed = root.roles[role]
        signing = [one for one in self._signers(role) if one.public_key.keyid in needed.keyids]
        if len(signing) < needed.threshold:
            raise KeyMissing(f"no key is here that may sign {role}; put it back, or rotate {role}")
        for signer in signing:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def _signers(self, role: str) -> Sequence[Signer]:
        return [self._keys.signer(name) for name in self._keys.names(role)]

    def _root(self) -> Metadata[Root]:
        return Metadata[Root].from_bytes(self._newest("root"))

    def _newest(self, role: str) -> bytes:
        return (self.metadata / f"{self._version(role)}.{role}.json").read_bytes()

    def _version(self, role: str) -> int:
        if role == "timestamp":
            path = self.metadata / "timestamp.json"
            return Metadata[Timestamp].from_bytes(path.read_bytes()).signed.version if path.exists() else 0
        names = self.metadata.glob(f"*.{role}.json")
        return max((int(path.name.partition(".")[0]) for path in names), default=0)

    def _expires(self, role: str) -> datetime:
        return (self._now() + VALID.get(role, USUAL)).replace(microsecond=0)


def sign_root(path: Path, signer: Signer) -> None:
    """Add a signature to a root that waits for it; nothing else of the repository is needed.

    Raises:
        ValueError: it is no root, or has no such key.
    """
    root = Metadata[Root].from_bytes(path.read_bytes())
    root.sign(signer, append=True)
    path.write_bytes(root.to_bytes())


def build(  # noqa: PLR0913 - what is built, for whom, and how it is told
    repository: Repository,
    notes: Notes,
    plain: BinaryIO,
    recipients: Sequence[PublicKey],
    out: BinaryIO,
    *,
    progress: Progress = lambda size: None,
    random: Callable[[int], bytes] = secrets.token_bytes,
    deltas: Mapping[str, BinaryIO] = MappingProxyType({}),
) -> Release:
    """Seal a payload, publish its release, and write the bundle; every file can be sought in.

    `deltas` are payloads by the release that each is read against. With the same `random` and the same keys
    it writes the same bytes, but for the wrapped keys: HPKE makes a fresh key for each.
    """
    plains = [*deltas.items(), ("", plain)]
    whole, *made = [_part(base, file) for base, file in (plains[-1], *plains[:-1])]
    release = Release(
        id=random(16).hex(),
        version=notes.version,
        counter=notes.counter,
        compatible=notes.compatible,
        needs_counter=notes.needs_counter,
        aead=notes.aead,
        salt=random(16).hex(),
        plain_length=whole.plain_length,
        plain_sha256=whole.plain_sha256,
        sealed_length=whole.sealed_length,
        sealed_sha256=whole.sealed_sha256,
        privacy=notes.privacy,
        sbom_sha256=_sha256(notes.sbom),
        recipients=(),
        deltas=tuple(made),
    )
    key = random(KEY_BYTES)
    # Twice: the header, which is signed, says what the payload behind it is; nothing large is kept in memory.
    *made, whole = [
        _digested(release, part, key, file, progress)
        for part, (_, file) in zip(release.parts, plains, strict=True)
    ]
    wrapped = tuple(wrap(key, public, release.binding) for public in recipients)
    release = replace(
        release,
        plain_sha256=whole.plain_sha256,
        sealed_sha256=whole.sealed_sha256,
        deltas=tuple(made),
        recipients=wrapped,
    )
    repository.add(release)
    out.write(header(repository.files(), notes.sbom))
    for part, (_, file) in zip(release.parts, plains, strict=True):
        file.seek(0)
        for chunk in seal(cipher(release, part, key), file.read):
            out.write(chunk)
            progress(len(chunk))
    return release


def _part(base: str, plain: BinaryIO) -> Part:
    """Return how long a payload is, without its digests."""
    length = plain.seek(0, os.SEEK_END)
    return Part(base, length, "0" * 64, sealed_length(length), "0" * 64)


def _digested(release: Release, part: Part, key: bytes, plain: BinaryIO, progress: Progress) -> Part:
    """Return a payload's description with its digests."""
    plain_hash, sealed_hash = hashlib.sha256(), hashlib.sha256()
    plain.seek(0)

    def read(size: int) -> bytes:
        piece = plain.read(size)
        plain_hash.update(piece)
        return piece

    for chunk in seal(cipher(release, part, key), read):
        sealed_hash.update(chunk)
        progress(len(chunk))
    return replace(part, plain_sha256=plain_hash.hexdigest(), sealed_sha256=sealed_hash.hexdigest())


def pack(folder: Path, out: BinaryIO) -> None:
    """Write a folder as a tar (POSIX.1-2001), the same whoever packs it: sorted, no times, no owners.

    Only folders, files and links inside are packed; a file is executable or not, and nothing else.
    """
    with packing(out) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    tar.addfile(entry_of(folder, path), file)
            elif path.is_symlink() or path.is_dir():
                tar.addfile(entry_of(folder, path))


def packing(out: BinaryIO) -> tarfile.TarFile:
    """Return a tar to write a payload to."""
    return tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)


def entry_of(folder: Path, path: Path) -> tarfile.TarInfo:
    """Return how a payload has a file, a folder or a link of a folder."""
    # Not by tarfile's gettarinfo, which asks the machine for its owners' names.
    info, told = tarfile.TarInfo(path.relative_to(folder).as_posix()), path.lstat()
    info.mode = 0o755 if path.is_dir() or told.st_mode & 0o100 else 0o644
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif path.is_dir():
        info.type = tarfile.DIRTYPE
    else:
        info.size = told.st_size
    return info


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
