"""Changes bytes as attackers and bad disks do."""

import random
from collections.abc import Sequence

TOKENS: Sequence[bytes] = (
    b"",
    b"\0",
    b"\xff" * 4,
    b"{",
    b"}",
    b"[" * 50,
    b'"',
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"../",
    b"\\u0000",
    b'"a":1,"a":2,',
)
MOST = 64 * 1024


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return a content with one to four changes."""
    for _ in range(chance.randint(1, 4)):
        content = _changed(content, chance)[:MOST]
    return content


def _changed(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    upto = min(len(content), at + chance.choice((1, 2, 8, 64, 512)))
    kind = chance.randrange(6)
    if kind == 0:
        return content[:at] + content[upto:]
    if kind == 1:
        return content[:upto] + content[at:]
    if kind == 2:
        return content[:at] + chance.choice(TOKENS) + content[at:]
    if kind == 3:
        return content[:at] + chance.choice(TOKENS) + content[upto:]
    if kind == 4:
        return content[:at]
    changed = bytearray(content)
    if changed:
        changed[at % len(changed)] ^= 1 << chance.randrange(8)
    return bytes(changed)
