"""Hours of a day as people write them: 02:00-04:30, also across midnight; nothing written is always."""

import re

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def require_hours(text: str) -> str:
    """Return hours that can be read, or nothing; raises ValueError."""
    if text and not _HOURS.fullmatch(text):
        raise ValueError("write HH:MM-HH:MM, such as 02:00-04:30, or nothing for any time")
    return text


def within(text: str, minute: int) -> bool:
    """Say whether a minute of the day, from 0 to 1439, is within hours; their end is not."""
    found = _HOURS.fullmatch(text)
    if found is None:
        return True
    begin_h, begin_m, end_h, end_m = map(int, found.groups())
    begin, end = begin_h * 60 + begin_m, end_h * 60 + end_m
    return begin <= minute < end if begin < end else minute >= begin or minute < end
