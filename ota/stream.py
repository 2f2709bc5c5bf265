"""The payload in chunks of 1 MiB, each sealed: STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015).

A chunk's nonce is its number (11 bytes, big-endian) and whether it is the last (1 byte), so that chunks can
neither be exchanged nor left out, and the end cannot be cut off. The key is made for one update alone:
HKDF-SHA256 of the content key, the release's salt and binding. Nothing of a chunk is handed on before its tag
has been checked.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ota.errors import Code, UpdateRefused
from ota.release import CHUNK, Part, Release

TAG = 16
SEALED = CHUNK + TAG

Aead: TypeAlias = AESGCM | ChaCha20Poly1305
Reads: TypeAlias = Callable[[int], bytes]
"""Returns at most so many bytes, and none at the end, as a file's `read`."""


class Source(Protocol):
    """What a payload is read from, such as a file."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into the memory given; returns how much, 0 at the end."""
        ...


def cipher(release: Release, part: Part, key: bytes) -> Aead:
    """Return the cipher of one of an update's payloads."""
    made = HKDF(SHA256(), 32, bytes.fromhex(release.salt), release.binding("", part.base)).derive(key)
    return AESGCM(made) if release.aead == "AES-256-GCM" else ChaCha20Poly1305(made)


def sealed_length(plain: int) -> int:
    """Return how long a payload is once it is sealed; an empty one has one empty chunk."""
    return plain + TAG * max(1, -(-plain // CHUNK))


def seal(aead: Aead, plain: Reads) -> Iterator[bytes]:
    """Yield the sealed chunks of a payload."""
    number, chunk = 0, _whole(plain, CHUNK)
    while True:
        after = _whole(plain, CHUNK) if len(chunk) == CHUNK else b""
        yield aead.encrypt(_nonce(number, last=not after), chunk, None)
        if not after:
            return
        number, chunk = number + 1, after


def unseal(aead: Aead, sealed: Source, length: int, begin: int = 0) -> Iterator[memoryview]:
    """Yield the chunks of a payload of `length` sealed bytes, from chunk `begin` on.

    All are in the same memory: one is gone when the next is asked for. A fresh megabyte each time would cost
    the kernel more than its decryption costs.

    Raises:
        UpdateRefused: CORRUPT, where a chunk is not what was sealed, missing, or one too many.
    """
    chunks = max(1, -(-length // SEALED))
    content, plain = memoryview(bytearray(SEALED)), memoryview(bytearray(CHUNK))
    for number in range(begin, chunks):
        last = number == chunks - 1
        size = length - number * SEALED if last else SEALED
        found = fill(sealed, content[:size])
        try:
            room = plain[: max(0, found - TAG)]
            aead.decrypt_into(_nonce(number, last=last), content[:found], None, room)
        except (InvalidTag, ValueError) as exc:
            raise UpdateRefused(Code.CORRUPT, f"chunk {number} of {chunks} is not what was sealed") from exc
        yield room


def require_end(sealed: Source) -> None:
    """Raise UpdateRefused (CORRUPT) where something follows the last payload."""
    if fill(sealed, memoryview(bytearray(1))):
        raise UpdateRefused(Code.CORRUPT, "something follows the last chunk")


def fill(source: Source, room: memoryview) -> int:
    """Read until there is no room or nothing more; returns how much that was."""
    done = 0
    while done < len(room) and (more := source.readinto(room[done:])):
        done += more
    return done


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + (b"\x01" if last else b"\x00")


def _whole(reads: Reads, size: int) -> bytes:
    """Read exactly so many bytes, or what there is before the end."""
    parts, left = [], size
    while left and (part := reads(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
