"""Lines of a session description (RFC 8866), bounded, with the white space that real clients leave."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_LINES = 1024
"""Browsers' own offers have two to four hundred."""
MAX_FORMATS = 128
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64}")
_PORT = re.compile(r"[0-9]{1,5}(/[0-9]{1,5})?")
_PROTOCOL = re.compile(r"[!#$%&'*+\-./0-9A-Z^_`a-z{|}~]{1,64}")
_FORMAT = re.compile(r"[!-~]{1,64}")


class OfferMalformed(Exception):
    """The text is not an SDP offer as RFC 8866 and RFC 8829 write it."""


class OfferUnacceptable(Exception):
    """The offer is valid but asks for what this camera does not do."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a description: the words of its `m=` line (none for the session) and its attributes."""

    head: Sequence[str]
    attributes: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """Return the values of every attribute of that name."""
        return [value for key, value in self.attributes if key == name]

    def has(self, *names: str) -> bool:
        """Say whether there is an attribute of one of the names."""
        return any(key in names for key, _ in self.attributes)

    @property
    def kind(self) -> str:
        """Media type, empty for the session part."""
        return self.head[0] if self.head else ""

    @property
    def protocol(self) -> str:
        """Transport and profile."""
        return self.head[2]

    @property
    def formats(self) -> Sequence[str]:
        """Payload types, or what the protocol has in their place."""
        return self.head[3:]

    @property
    def rejected(self) -> bool:
        """Whether whoever offers does not want it: port 0, and not to be bundled (RFC 9143 section 6)."""
        return self.head[1].partition("/")[0].strip("0") == "" and not self.has("bundle-only")

    @property
    def mid(self) -> str:
        """Identification tag, empty where it has none; raises OfferMalformed."""
        found = self.values("mid")
        if len(found) > 1 or not all(_TOKEN.fullmatch(mid) for mid in found):
            raise OfferMalformed("a media has more than one mid, or one that is no token")
        return found[0] if found else ""


def sections(text: str) -> list[Section]:
    """Split a description into the session part and its media parts; other lines than `m=` and `a=` go.

    Raises:
        OfferMalformed: a line is not `letter=value`, or a media line is malformed.
    """
    lines = text.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise OfferMalformed(f"the body has more than {MAX_LINES} lines")
    parts: list[tuple[Sequence[str], list[tuple[str, str]]]] = [((), [])]
    for line in filter(None, map(str.strip, lines)):
        if line[1:2] != "=":
            raise OfferMalformed("a line is not of the form letter=value")
        if line.startswith("m="):
            parts.append((_head(line), []))
        # aiortc splits lines at more characters than SDP does; none of them gets through to it.
        elif line.startswith("a=") and line.isprintable():
            name, _, value = line[2:].partition(":")
            parts[-1][1].append((name.rstrip(), value.strip()))
    return [Section(*part) for part in parts]


def _head(line: str) -> Sequence[str]:
    words = line[2:].split()
    formed = zip((_TOKEN, _PORT, _PROTOCOL), words, strict=False)
    if not 4 <= len(words) <= 3 + MAX_FORMATS or not all(form.fullmatch(word) for form, word in formed):
        raise OfferMalformed("a media line is malformed")
    if not all(_FORMAT.fullmatch(word) for word in words[3:]):
        raise OfferMalformed("a media line is malformed")
    return words
