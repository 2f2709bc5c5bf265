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
from ota.release import CHUNK, Part
from ota.stanza import Opens, unwrap
from ota.stream import Source, cipher, fill, require_end, unseal


@dataclass(frozen=True, slots=True)
class Begun:
    """What an interrupted pass has handed on: so many whole chunks, to be read again from `plain`."""

    chunks: int
    plain: Source


def unpack(
    verified: VerifiedRelease,
    part: Part,
    keys: Opens,
    sealed: Source,
    write: Callable[[memoryview], object],
    begun: Begun | None = None,
) -> None:
    """Hand the plain chunks of one of the release's payloads to `write`; `sealed` is at its first byte, or
    where `begun` ended.

    What `write` is given is good until it returns.

    Raises:
        UpdateRefused: NOT_FOR_ME before anything is written; CORRUPT where it is not as signed.
    """
    release = verified.release
    aead = cipher(release, part, unwrap(release, keys))
    found, first = hashlib.sha256(), 0
    if begun is not None:
        first = begun.chunks
        room = memoryview(bytearray(CHUNK))
        for _ in range(first):
            found.update(room[: fill(begun.plain, room)])
    for chunk in unseal(aead, sealed, part.sealed_length, first):
        found.update(chunk)
        write(chunk)
    if not part.base:  # the whole is the last of a bundle
        require_end(sealed)
    if found.hexdigest() != part.plain_sha256:
        raise UpdateRefused(Code.CORRUPT, "the payload is not the one that was signed")


def require_sealed(verified: VerifiedRelease, sealed: Source, progress: Callable[[int], object]) -> None:
    """Read every payload and hold it against what was signed, without a key; raises UpdateRefused."""
    room = memoryview(bytearray(CHUNK))
    for part in verified.release.parts:
        found, left = hashlib.sha256(), part.sealed_length
        while left and (size := fill(sealed, room[:left])):
            found.update(room[:size])
            left -= size
            progress(size)
        if left or found.hexdigest() != part.sealed_sha256:
            raise UpdateRefused(Code.CORRUPT, "a payload is not the one that was signed")
    require_end(sealed)
