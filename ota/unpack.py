"""Verify, decrypt and hand on, in one pass over the payload and in the memory of two chunks.

Every chunk is authentic before it is handed on, under a key that the release binds to itself. That whoever
had that key, another recipient say, has not sealed something else is known at the end, by the signed digest
of the plain payload: whoever takes chunks keeps them apart until then. The digest of the sealed payload is
for those who have no key, such as mirrors and `require_sealed`: here it would be the same work twice.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ota.errors import Code, UpdateRefused
from ota.metadata import VerifiedRelease
from ota.release import CHUNK
from ota.stanza import Opens, unwrap
from ota.stream import Source, cipher, fill, unseal


@dataclass(frozen=True, slots=True)
class Begun:
    """What an interrupted pass has handed on: so many whole chunks, to be read again from `plain`."""

    chunks: int
    plain: Source


def unpack(
    verified: VerifiedRelease,
    keys: Opens,
    sealed: Source,
    write: Callable[[memoryview], object],
    begun: Begun | None = None,
) -> None:
    """Hand the payload's plain chunks to `write`; `sealed` reads on from where `begun` ended.

    What `write` is given is good until it returns.

    Raises:
        UpdateRefused: NOT_FOR_ME before anything is written; CORRUPT where it is not as signed.
    """
    release = verified.release
    aead = cipher(release, unwrap(release, keys))
    found, first = hashlib.sha256(), 0
    if begun is not None:
        first = begun.chunks
        room = memoryview(bytearray(CHUNK))
        for _ in range(first):
            found.update(room[: fill(begun.plain, room)])
    for chunk in unseal(aead, sealed, release.sealed_length, first):
        found.update(chunk)
        write(chunk)
    if found.hexdigest() != release.plain_sha256:
        raise UpdateRefused(Code.CORRUPT, "the payload is not the one that was signed")


def require_sealed(verified: VerifiedRelease, sealed: Source, progress: Callable[[int], object]) -> None:
    """Read a whole payload and hold it against what was signed, without a key; raises UpdateRefused."""
    found, length = hashlib.sha256(), 0
    room = memoryview(bytearray(CHUNK))
    while part := fill(sealed, room):
        found.update(room[:part])
        length += part
        progress(part)
        if length > verified.release.sealed_length:
            break
    if (found.hexdigest(), length) != (verified.release.sealed_sha256, verified.release.sealed_length):
        raise UpdateRefused(Code.CORRUPT, "the payload is not the one that was signed")
