"""Addresses as they may be shown: in logs, messages and pages."""

import re


def shown(url: str) -> str:
    """Return scheme, host and port alone: a user, password or token may stand in every other part."""
    # Split by hand: a password with / # or ? in it ends where urlsplit sees the host's end.
    scheme, there, rest = url.partition("://")
    if not there:
        return "an address without a scheme"
    host = re.split("[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return f"{scheme}://{host}"
