"""Writes the answer to an offer of many media from aiortc's answer to the one video that it was shown."""

from collections.abc import Iterator, Sequence

from firmware.stream.offer import Offer
from firmware.stream.sdp import Section

_TRANSPORT = ("a=ice-", "a=fingerprint:", "a=setup:", "a=candidate:", "a=end-of-candidates")
_OF_OFFER = ("a=group:", "a=mid:")
"""What is for the offer to choose (RFC 9143 section 7.3, RFC 5888 section 9.1), and so not left to aiortc."""


def write_answer(offer: Offer, answered: str) -> str:
    """Return an answer with as many media as the offer, in its order (RFC 3264 section 6).

    What is not the video is inactive where it stays in the bundle, and rejected with port 0 elsewhere.
    """
    session, _, video = answered.partition("m=")
    lines = [line for line in session.splitlines() if not line.startswith(_OF_OFFER)]
    if offer.bundle:
        lines.append("a=group:BUNDLE " + " ".join(part.mid for part in offer.bundle))
    ours = f"m={video}".splitlines()
    for part in offer.media:
        if part is offer.video:
            lines += _video(part, ours)
        elif any(part is one for one in offer.bundle):
            lines += _inactive(part, ours)
        else:
            lines += _media(part, "0", part.formats[0])
    return "".join(f"{line}\r\n" for line in lines)


def _video(part: Section, ours: Sequence[str]) -> Iterator[str]:
    _, port, _, *formats = ours[0].split()
    yield from _media(part, port, *formats)
    yield from (line for line in ours[1:] if not line.startswith(("c=", *_OF_OFFER)))


def _inactive(part: Section, ours: Sequence[str]) -> Iterator[str]:
    """Take part in the bundle and send nothing; the transport is said again, for where this is its first."""
    yield from _media(part, ours[0].split()[1], part.formats[0])
    yield "a=inactive"
    yield "a=rtcp-mux"
    for name in ("rtpmap", "fmtp"):
        own = [value for value in part.values(name) if value.split(" ")[0] == part.formats[0]]
        yield from (f"a={name}:{value}" for value in own[:1])
    yield from (line for line in ours if line.startswith(_TRANSPORT))


def _media(part: Section, port: str, *formats: str) -> Iterator[str]:
    """Write the head of a media: kind, protocol and name as they were offered."""
    yield f"m={part.kind} {port} {part.protocol} {' '.join(formats)}"
    yield "c=IN IP4 0.0.0.0"
    if part.mid:
        yield f"a=mid:{part.mid}"
