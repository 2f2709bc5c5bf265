"""Reads an SDP offer of any shape; aiortc is shown one video with one transport, written anew from it.

What the camera does not do is no reason to refuse an offer (RFC 8829 section 5.3.1): the answer rejects that
part alone. Lines that say nothing to the camera, or cannot be read, are left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from firmware.stream.aiortc_seams import EXTENSIONS, parse_candidate
from firmware.stream.codecs import NONE_FITS, Format, extensions, sendable
from firmware.stream.sdp import OfferMalformed, OfferUnacceptable, Section, sections

MAX_CANDIDATES = 32
"""Remote candidates per session; each one makes the camera send checks."""
MAX_MEDIA = 16
OWN_MID = "0"
"""What aiortc calls the video where the offer gives it no name."""
_LONGEST_MID = 16
"""Bytes that a one-byte header extension takes."""
_MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
_RTP = re.compile(r"((UDP|TCP)/(D?TLS/))?RTP/S?AVPF?")
"""Names of DTLS-SRTP, new and old ones (RFC 8829 section 5.1.2); the fingerprint says what it is."""
_DIGEST = r"[0-9a-f]{2}(?::[0-9a-f]{2}){31,63}"
_FINGERPRINT = re.compile(rf"(sha-(?:256|384|512)) +({_DIGEST})", re.IGNORECASE)
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_DIRECTIONS = ("sendrecv", "recvonly", "sendonly", "inactive")


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that passed every check; `text` is what aiortc is shown of it.

    `video` is the one of `media` that is sent, `bundle` what shares its transport, in the order of the offer
    and without what is rejected; it is empty where the offer asks for none. A `passive` viewer waits for the
    camera to begin the DTLS handshake.
    """

    text: str
    media: Sequence[Section]
    video: Section
    bundle: Sequence[Section]
    ufrag: str
    candidates: int
    passive: bool


def read_offer(text: str) -> Offer:
    """Find the video to send in an offer, and the transport to send it on.

    Raises:
        OfferMalformed: it is not an SDP offer.
        OfferUnacceptable: it asks for no video that the camera can send.
    """
    if not text.startswith("v=0"):
        raise OfferMalformed("the body is not a session description: it does not start with v=0")
    session, *media = sections(text)
    if not media:
        raise OfferMalformed("the offer has no media: offer a video to receive")
    if len(media) > MAX_MEDIA:
        raise OfferUnacceptable(f"the offer has more than {MAX_MEDIA} media")
    mids = [part.mid for part in media if part.mid]
    if len(set(mids)) != len(mids):
        raise OfferMalformed("two media have the same mid")
    video, formats = _video(session, media)
    group = _group(session, media, video)
    bundle = [part for part in group if part is video or _stays(part, group)]
    transport = _Transport([*bundle[:1], video, session])
    candidates = readable(transport.values("candidate"))[:MAX_CANDIDATES]
    lines = [*_HEAD, *transport.lines(), *_video_lines(video, formats)]
    lines += [f"a=candidate:{value}" for value in candidates]
    written = "".join(f"{line}\r\n" for line in lines)
    passive = transport.setup == "passive"
    return Offer(written, media, video, bundle, transport.ufrag, len(candidates), passive)


_HEAD = ("v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0")


def _video(session: Section, media: Sequence[Section]) -> tuple[Section, Sequence[Format]]:
    """Return the first video that can be sent, and in which formats; raises OfferUnacceptable."""
    videos = [part for part in media if part.kind == "video" and not part.rejected]
    if not videos:
        raise OfferUnacceptable("the offer has no video: add a recvonly one")
    wanted = [part for part in videos if _direction(session, part) in ("recvonly", "sendrecv")]
    if not wanted:
        raise OfferUnacceptable("the offer does not ask to receive video: make it recvonly")
    secure = [part for part in wanted if _RTP.fullmatch(part.protocol)]
    if not secure:
        raise OfferUnacceptable("the camera sends video by UDP/TLS/RTP/SAVPF alone")
    for part in secure:
        if formats := sendable(part):
            return part, formats
    raise OfferUnacceptable(NONE_FITS)


def _direction(session: Section, part: Section) -> str:
    """Return a media's direction; without one it is sendrecv (RFC 8866 section 6.7)."""
    told = (key for one in (part, session) for key, _ in one.attributes if key in _DIRECTIONS)
    return next(told, "sendrecv")


def _group(session: Section, media: Sequence[Section], video: Section) -> Sequence[Section]:
    """Return what the offer bundles with the video (RFC 9143), itself included; nothing without a group."""
    named = {part.mid: part for part in media if part.mid and not part.rejected}
    for value in session.values("group"):
        semantics, *mids = value.split()[: 1 + MAX_MEDIA] or [""]
        if semantics == "BUNDLE" and video.mid and video.mid in mids:
            return [named[mid] for mid in dict.fromkeys(mids) if mid in named]
    return []


def _stays(part: Section, group: Sequence[Section]) -> bool:
    """Say whether a bundled media that is not the video is answered as inactive, and not rejected.

    Sound is, because aiortc as a player takes no rejected media. So is the media that tells the transport: if
    it is rejected, browsers may take all that share it for rejected, too (RFC 8829 section 5.3.1).
    """
    rtp = part.kind in ("audio", "video") and _RTP.fullmatch(part.protocol) is not None
    return rtp and (part.kind == "audio" or part is group[0])


class _Transport:
    """The transport of a video: what the first of the bundle says, else its own media, else the session."""

    def __init__(self, tellers: Sequence[Section]) -> None:
        self._tellers = tellers
        self.ufrag = self._one("ice-ufrag", _UFRAG)
        self._password = self._one("ice-pwd", _PWD)
        if not self.values("rtcp-mux"):
            raise OfferUnacceptable("the camera needs rtcp-mux")
        self.setup = (self.values("setup") or ["actpass"])[0]
        """The DTLS role; an offer without one leaves the choice to the camera."""
        if self.setup not in ("actpass", "active", "passive"):
            raise OfferMalformed("the offer has no valid setup attribute: send actpass")

    def values(self, name: str) -> list[str]:
        """Return an attribute's values, of the first who says anything about it."""
        return next((found for one in self._tellers if (found := one.values(name))), [])

    def _one(self, name: str, pattern: re.Pattern[str]) -> str:
        found = self.values(name)
        if len(found) != 1 or not pattern.fullmatch(found[0]):
            raise OfferMalformed(f"the offer needs one valid {name} attribute for the video")
        return found[0]

    def lines(self) -> Iterator[str]:
        """Write it as a description's session part."""
        told = self.values("fingerprint")
        found = [match for value in told if (match := _FINGERPRINT.fullmatch(value))]
        if not found:
            raise OfferMalformed("the offer has no SHA-2 fingerprint")
        if self._tellers[-1].has("ice-lite"):
            yield "a=ice-lite"
        yield f"a=ice-ufrag:{self.ufrag}"
        yield f"a=ice-pwd:{self._password}"
        yield f"a=setup:{self.setup}"
        yield from (f"a=fingerprint:{match[1].lower()} {match[2].upper()}" for match in found[:4])


def _video_lines(video: Section, formats: Sequence[Format]) -> Iterator[str]:
    """Write the media that aiortc is shown."""
    payloads = " ".join(one.payload for one in formats)
    yield f"m=video 9 UDP/TLS/RTP/SAVPF {payloads}"
    yield f"a=mid:{video.mid or OWN_MID}"
    yield "a=recvonly"
    yield "a=rtcp-mux"
    named = 0 < len(video.mid) <= _LONGEST_MID
    yield from extensions(video, [uri for uri in EXTENSIONS if named or uri != _MID_EXTENSION])
    for one in formats:
        yield from one.lines()


def readable(candidates: Sequence[str]) -> list[str]:
    """Return those candidates that can be of use: well-formed ones of the one component, by UDP."""
    found = []
    for text in candidates:
        try:
            candidate = parse_candidate(text)
        except ValueError:
            continue
        if candidate.protocol.lower() == "udp" and candidate.component == 1:
            found.append(text)
    return found


@dataclass(frozen=True, slots=True)
class Fragment:
    """A trickle fragment (RFC 8840): candidates, each with the credentials that it is for, if it says."""

    ufrags: frozenset[str]
    candidates: Sequence[tuple[str | None, str]]

    def of(self, ufrag: str) -> list[str]:
        """Return the candidates for those credentials."""
        return [value for own, value in self.candidates if own in (None, ufrag)]


_OF_FRAGMENTS = ("candidate", "end-of-candidates", "ice-ufrag", "mid")


def read_fragment(text: str) -> Fragment:
    """Read an `application/trickle-ice-sdpfrag` body; what is no usable candidate is left out.

    Raises:
        OfferMalformed: it is not such a fragment.
    """
    parts = sections(text)
    if not any(part.has(*_OF_FRAGMENTS) for part in parts):
        raise OfferMalformed("the body is not a trickle ICE fragment")
    common = next(iter(parts[0].values("ice-ufrag")), None)
    told = [(next(iter(part.values("ice-ufrag")), common), part) for part in parts]
    ufrags = frozenset(value for part in parts for value in part.values("ice-ufrag"))
    found = [(ufrag, one) for ufrag, part in told for one in readable(part.values("candidate"))]
    return Fragment(ufrags, found)
