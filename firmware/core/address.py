"""Addresses as they may be shown: in logs, messages and pages."""

import re
from urllib.parse import quote

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#]+)(:\d{1,5})?")
"""A host and perhaps a port."""
ESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})")


def shown(url: str) -> str:
    """Return scheme, host and port alone: a user, password or token may stand in every other part."""
    # Split by hand: a password with / # or ? in it ends where urlsplit sees the host's end.
    scheme, there, rest = url.partition("://")
    if not there:
        return "an address without a scheme"
    host = re.split("[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return f"{scheme}://{host}"


def with_escaped_password(url: str) -> str:
    """Return an address with user and password percent-encoded where they were not (RFC 3986, 3.2.1).

    A # ? / @ or space in a password would end it, or the host, for whoever reads the address. What comes
    before an @ is a user and password unless it is a host with a path of its own.
    """
    scheme, there, rest = url.partition("://")
    ends = [at for at, letter in enumerate(rest) if letter == "@" and HOST.match(rest, at + 1)]
    plain = re.split("[/?#]", rest, maxsplit=1)[0]
    # Who is a host already stays it, but before a #, which means nothing here: nobody else must be called.
    if not there or not ends or ("@" not in plain and HOST.fullmatch(plain) and rest[len(plain)] != "#"):
        return url
    # The last @ before the path: a later one stands in the path itself.
    end = next((at for at in ends if not _goes_on(rest, at)), ends[-1])
    user, colon, password = rest[:end].partition(":")
    return f"{scheme}://{_escaped(user)}{colon}{_escaped(password)}@{rest[end + 1 :]}"


def _goes_on(rest: str, at: int) -> bool:
    """Say whether what follows an @ up to the next is no host with its path: the password goes on."""
    host = HOST.match(rest, at + 1)
    return host is None or rest[host.end() : host.end() + 1] not in ("", "/", "?", "#")


def _escaped(text: str) -> str:
    return quote(ESCAPED.sub("%25", text), safe="%!$&'()*+,;=-._~")
