"""The formats of an offered video that this camera can send: H.264 with fragments (RFC 6184)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from firmware.stream.sdp import Section

MAX_CODECS = 16
"""H.264 formats of one media; browsers offer up to eight."""
MAX_FEEDBACK = 16
"""`rtcp-fb` lines of one format."""
NONE_FITS = (
    "the camera sends H.264 alone: offer it with packetization-mode=1 "
    "and (constrained) baseline profile, such as profile-level-id=42e01f"
)
_MAP = re.compile(r"(\d{1,3}) +([A-Za-z0-9-]{1,32})/(\d{1,9})(/\d{1,3})?")
_EXTENSION = re.compile(r"(\d{1,3})(/(?:sendrecv|sendonly|recvonly|inactive))? +([!-~]{1,256})(?: .*)?")
_BASELINE = re.compile(r"(42[0-9a-f]|4d[89a-f]|58[89a-f])0[0-9a-f]{2}", re.IGNORECASE)
"""RFC 6184 table 5: profiles that are baseline, or what baseline and another have in common."""
_DYNAMIC = range(96, 128)
"""aiortc answers with a number of its own for others."""
_LEVEL = "1f"
"""Level 3.1, which aiortc states whatever is offered; it refuses levels that it does not know."""


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of an offer."""

    payload: str
    name: str
    parameters: Mapping[str, str]
    feedback: Sequence[str] = field(default=())

    @property
    def packetization(self) -> str | None:
        """What H.264 packets may hold; None where that is not said."""
        return self.parameters.get("packetization-mode")

    @property
    def fits(self) -> bool:
        """Whether a baseline stream can be sent in it; who names no profile takes constrained baseline."""
        profile = self.parameters.get("profile-level-id", f"42e0{_LEVEL}")
        baseline = _BASELINE.fullmatch(profile) is not None
        return self.name == "h264" and baseline and int(self.payload) in _DYNAMIC

    def lines(self) -> Iterator[str]:
        """Write it as aiortc reads it."""
        name = "H264" if self.name == "h264" else self.name
        yield f"a=rtpmap:{self.payload} {name}/90000"
        yield from (f"a=rtcp-fb:{self.payload} {value}" for value in self.feedback)
        parameters = ";".join(f"{key}={value}" for key, value in self.parameters.items())
        yield f"a=fmtp:{self.payload} {parameters}"


def sendable(part: Section) -> Sequence[Format]:
    """Return the H.264 formats of a media that the camera can send, each with its retransmission."""
    known = {one.payload: one for one in _formats(part)}
    fitting = [one for one in known.values() if one.fits]
    # GStreamer's whepsrc names no parameters and takes fragments: that counts where no other format does.
    chosen = [one for one in fitting if one.packetization == "1"] or [
        one for one in fitting if one.packetization is None
    ]
    media = {one.payload: _as_answered(one) for one in chosen[:MAX_CODECS]}
    again = [
        Format(one.payload, one.name, {"apt": apt})
        for one in known.values()
        if one.name == "rtx" and (apt := one.parameters.get("apt", "")) in media
    ]
    return [*media.values(), *again[:MAX_CODECS]]


def extensions(part: Section, wanted: Sequence[str]) -> Iterator[str]:
    """Write those header extensions of a media (RFC 8285) that are wanted, with numbers of one byte."""
    found = [match for value in part.values("extmap") if (match := _EXTENSION.fullmatch(value))]
    for match in found[:64]:
        if match[3] in wanted and 0 < int(match[1]) < 15:
            yield f"a=extmap:{int(match[1])} {match[3]}"


def _as_answered(one: Format) -> Format:
    profile = one.parameters.get("profile-level-id", f"42e0{_LEVEL}").lower()
    parameters = {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": profile[:4] + _LEVEL,
    }
    return Format(one.payload, one.name, parameters, one.feedback)


def _formats(part: Section) -> Iterator[Format]:
    """Read the formats of a media in the order of its `m=` line; what cannot be read is left out."""
    maps = {match[1]: match for value in part.values("rtpmap") if (match := _MAP.fullmatch(value))}
    told = dict(_numbered(part, "fmtp"))
    feedback: dict[str, list[str]] = {}
    for number, value in _numbered(part, "rtcp-fb"):
        feedback.setdefault(number, []).append(value)
    for payload in dict.fromkeys(part.formats):
        match = maps.get(payload)
        name = match[2].lower() if match else ""
        if match is None or name not in ("h264", "rtx") or match[3] != "90000":
            continue
        wanted = [*feedback.get(payload, ()), *feedback.get("*", ())][:MAX_FEEDBACK]
        yield Format(payload, name, _parameters(told.get(payload, "")), wanted)


def _numbered(part: Section, name: str) -> Iterator[tuple[str, str]]:
    for value in part.values(name):
        number, _, rest = value.partition(" ")
        if rest.strip():
            yield number, rest.strip()


def _parameters(text: str) -> Mapping[str, str]:
    """Read `name=value; name=value`, with or without spaces."""
    pairs = (one.partition("=") for one in text.split(";")[:32])
    return {key.strip().lower(): value.strip() for key, _, value in pairs if key.strip()}
