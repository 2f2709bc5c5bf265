"""Verify, decrypt and hand on, in one pass over the payload and in the memory of two chunks.

Every chunk is authentic before it is handed on. That the whole is what was signed (both digests and
lengths) is known at the end: whoever takes chunks keeps them apart until then.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ota.errors import Code, UpdateRefused
from ota.metadata import VerifiedRelease
from ota.release import CHUNK, Release
from ota.stanza import Opens, unwrap
from ota.stream import Aead, Reads, cipher, seal_chunk, unseal, whole


@dataclass(frozen=True, slots=True)
class Begun:
    """What an interrupted pass has handed on: so many whole chunks, to be read again from `plain`."""

    chunks: int
    plain: Reads


def unpack(
    verified: VerifiedRelease,
    keys: Opens,
    sealed: Reads,
    write: Callable[[bytes], object],
    begun: Begun | None = None,
) -> None:
    """Hand the payload's plain chunks to `write`; `sealed` reads on from where `begun` ended.

    Raises:
        UpdateRefused: NOT_FOR_ME before anything is written; CORRUPT where it is not as signed.
    """
    release = verified.release
    aead = cipher(release, unwrap(release, keys))
    plain_hash, sealed_hash = hashlib.sha256(), hashlib.sha256()
    first = 0
    if begun is not None:
        first = begun.chunks
        for plain, again in _resealed(begun, release, aead):
            plain_hash.update(plain)
            sealed_hash.update(again)

    def read(size: int) -> bytes:
        part = sealed(size)
        sealed_hash.update(part)
        return part

    for chunk in unseal(aead, read, release.sealed_length, first):
        plain_hash.update(chunk)
        write(chunk)
    found = (plain_hash.hexdigest(), sealed_hash.hexdigest())
    if found != (release.plain_sha256, release.sealed_sha256):
        raise UpdateRefused(Code.CORRUPT, "the payload is not the one that was signed")


def require_sealed(verified: VerifiedRelease, sealed: Reads, progress: Callable[[int], object]) -> None:
    """Read a whole payload and hold it against what was signed, without a key; raises UpdateRefused."""
    found, length = hashlib.sha256(), 0
    while part := sealed(CHUNK):
        found.update(part)
        length += len(part)
        progress(len(part))
        if length > verified.release.sealed_length:
            break
    if (found.hexdigest(), length) != (verified.release.sealed_sha256, verified.release.sealed_length):
        raise UpdateRefused(Code.CORRUPT, "the payload is not the one that was signed")


def _resealed(begun: Begun, release: Release, aead: Aead) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk that was written, and what it was sealed to: so both digests go on from there."""
    if not 0 <= begun.chunks * CHUNK < max(1, release.plain_length):
        raise UpdateRefused(Code.CORRUPT, "more has been written than there is")
    for number in range(begun.chunks):
        plain = whole(begun.plain, CHUNK)
        yield plain, seal_chunk(aead, number, plain, last=False)
