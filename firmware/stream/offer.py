"""Checks an SDP offer or a trickle fragment before aiortc sees it: little is allowed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

MAX_CANDIDATES = 32
"""Remote candidates per session; each one makes the camera send checks."""
MAX_LINES = 1024
"""Browsers' own offers have two to four hundred."""

KEPT: Mapping[str, int] = MappingProxyType(
    {
        "group": 2,
        "ice-ufrag": 1,
        "ice-pwd": 1,
        "ice-options": 2,
        "fingerprint": 4,
        "setup": 1,
        "mid": 1,
        "msid-semantic": 2,
        "extmap-allow-mixed": 1,
        "extmap": 48,
        "sendrecv": 1,
        "recvonly": 1,
        "sendonly": 1,
        "inactive": 1,
        "msid": 4,
        "rtcp": 1,
        "rtcp-mux": 1,
        "rtcp-rsize": 1,
        "rtpmap": 64,
        "fmtp": 64,
        "rtcp-fb": 256,
        "candidate": MAX_CANDIDATES,
        "end-of-candidates": 1,
    }
)
"""Attributes that aiortc is shown, and how many of each in one part; the rest of an offer is left out.

aiortc multiplies some with others and searches lists of all of them: 1,300 `rtpmap` times 2,300 `rtcp-fb`
held up the camera for eight seconds.
"""
MAX_FEEDBACK_FOR_ALL = 16
"""`rtcp-fb:*` lines, each of which counts for every payload type."""
_MEDIA = re.compile(r"m=(audio|video) \d{1,5} [A-Z/]{1,32} \d{1,3}( \d{1,3}){0,63}")
_MID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_FINGERPRINT = re.compile(r"sha-(256|384|512) [0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31,63}")
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")


class OfferMalformed(Exception):
    """The text is not an SDP offer as RFC 8866 and RFC 8829 write it."""


class OfferUnacceptable(Exception):
    """The offer is valid but asks for what this camera does not do."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a description: its `m=` line (empty for the session) and its attributes."""

    head: str
    attributes: Sequence[tuple[str, str]]
    lines: Sequence[str] = ()
    """The other lines, as they are: version, origin, name, connection, times."""

    def values(self, name: str) -> list[str]:
        """Return the values of every attribute of that name."""
        return [value for key, value in self.attributes if key == name]

    @property
    def kind(self) -> str:
        """Media type, empty for the session part."""
        return self.head[2:].partition(" ")[0]


def sections(text: str) -> list[Section]:
    """Split a description into the session part and its media parts.

    Raises:
        OfferMalformed: a line is not `letter=value` in printable characters.
    """
    parts: list[tuple[str, list[tuple[str, str]], list[str]]] = [("", [], [])]
    lines = text.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise OfferMalformed(f"the body has more than {MAX_LINES} lines")
    for line in lines:
        line = line.removesuffix("\r")  # noqa: PLW2901 - the same line without its ending
        if not line:
            continue
        if line[1:2] != "=" or not line.isprintable():
            raise OfferMalformed("a line is not of the form letter=value")
        if line.startswith("m="):
            parts.append((line, [], []))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            parts[-1][1].append((name, value))
        else:
            parts[-1][2].append(line)
    return [Section(*part) for part in parts]


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that passed every check; `kinds` in the order of its media, `text` what aiortc is shown."""

    text: str
    kinds: Sequence[str]
    ufrag: str
    candidates: int


def read_offer(text: str) -> Offer:
    """Make sure that an offer asks for one video that the camera may send, and at most one audio.

    Raises:
        OfferMalformed: it is not an SDP offer.
        OfferUnacceptable: it asks for something else.
    """
    if not text.startswith("v=0"):
        raise OfferMalformed("the body is not a session description: it does not start with v=0")
    session, *media = sections(text)
    kinds = sorted(part.kind for part in media)
    if not media:
        raise OfferMalformed("the offer has no media")
    if kinds not in (["video"], ["audio", "video"]):
        raise OfferUnacceptable(
            "offer one video to receive; the camera sends no sound and takes no data channel"
        )
    for part in media:
        _check_media(session, part)
    candidates = sum(len(part.values("candidate")) for part in media)
    if candidates > MAX_CANDIDATES:
        raise OfferUnacceptable(f"the offer has more than {MAX_CANDIDATES} candidates")
    _check_bundle(session, media)
    ufrag = (media[0].values("ice-ufrag") or session.values("ice-ufrag"))[0]
    kept = "".join(_kept(part) for part in (session, *media))
    return Offer(kept, [part.kind for part in media], ufrag.strip(), candidates)


def _kept(part: Section) -> str:
    """Return a part with the known attributes; raises OfferUnacceptable where there are too many of one."""
    lines = [part.head] if part.head else []
    lines += part.lines
    for name, most in KEPT.items():
        if len(part.values(name)) > most:
            raise OfferUnacceptable(f"the offer has more than {most} {name} attributes in one media")
    if sum(value.startswith("*") for value in part.values("rtcp-fb")) > MAX_FEEDBACK_FOR_ALL:
        raise OfferUnacceptable(f"the offer has more than {MAX_FEEDBACK_FOR_ALL} rtcp-fb for all payloads")
    known = [(name, value) for name, value in part.attributes if name in KEPT]
    lines += [f"a={name}:{value}" if value else f"a={name}" for name, value in known]
    return "".join(f"{line}\r\n" for line in lines)


def _check_bundle(session: Section, media: Sequence[Section]) -> None:
    """Require one transport, the first medium's (RFC 9143): aiortc stops the wrong one otherwise."""
    mids = [part.values("mid")[0].strip() for part in media]
    groups = [value.split()[1:] for value in session.values("group") if value.startswith("BUNDLE")]
    if groups not in ([mids], []) or (len(mids) > 1 and not groups):
        raise OfferUnacceptable("bundle every medium, in order, on one transport")
    if len(set(mids)) != len(mids):
        raise OfferMalformed("two media have the same mid")


def _check_media(session: Section, part: Section) -> None:
    if not _MEDIA.fullmatch(part.head):
        raise OfferMalformed("a media line is malformed")
    _require(part.values("mid"), _MID, "mid")
    for name, pattern in (("ice-ufrag", _UFRAG), ("ice-pwd", _PWD)):
        _require(part.values(name) or session.values(name), pattern, name)
    fingerprints = part.values("fingerprint") or session.values("fingerprint")
    if not any(_FINGERPRINT.fullmatch(value.strip()) for value in fingerprints):
        raise OfferMalformed("the offer has no SHA-2 fingerprint")
    setup = part.values("setup") or session.values("setup")
    if setup not in (["actpass"], ["active"], ["passive"]):
        raise OfferMalformed("the offer has no setup attribute")
    names = {name for name, _ in part.attributes}
    if "rtcp-mux" not in names:
        raise OfferUnacceptable("the camera needs rtcp-mux")
    if part.kind == "video" and not names & {"recvonly", "sendrecv"}:
        raise OfferUnacceptable("the offer does not ask to receive video")


def _require(values: Sequence[str], pattern: re.Pattern[str], name: str) -> None:
    if len(values) != 1 or not pattern.fullmatch(values[0].strip()):
        raise OfferMalformed(f"the offer needs one valid {name} attribute for each media")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A trickle fragment (RFC 8840): credentials it was made for, and candidates of the first medium."""

    ufrag: str | None
    candidates: Sequence[str]


def read_fragment(text: str) -> Fragment:
    """Read an `application/trickle-ice-sdpfrag` body.

    Raises:
        OfferMalformed: it is not such a fragment, or holds too many candidates.
    """
    parts = sections(text)
    ufrags = {value for part in parts for value in part.values("ice-ufrag")}
    candidates = [value for part in parts for value in part.values("candidate")]
    ends = any(part.values("end-of-candidates") for part in parts)
    if not (candidates or ends) or len(ufrags) > 1:
        raise OfferMalformed("the body is not a trickle ICE fragment")
    if len(candidates) > MAX_CANDIDATES:
        raise OfferMalformed(f"the fragment has more than {MAX_CANDIDATES} candidates")
    return Fragment(next(iter(ufrags), None), candidates)
