"""JSON from outside: bounded, and with one meaning."""

import json
from collections.abc import Sequence
from typing import NoReturn


class NotStrict(ValueError):
    """Some bytes are no JSON object that has one meaning."""


def read_json(content: bytes | str, longest: int) -> dict[str, object]:
    """Read one JSON object (RFC 8259, I-JSON of RFC 7493): every key once, finite numbers, bounded.

    Raises:
        NotStrict: it is something else, or longer than `longest`.
    """
    if len(content) > longest:
        raise NotStrict(f"longer than {longest} bytes")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except NotStrict:
        raise
    except (ValueError, RecursionError) as exc:
        raise NotStrict("not JSON") from exc
    if not isinstance(told, dict):
        raise NotStrict("not a JSON object")
    return told


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise NotStrict("a key is there twice")
    return told


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is no number")
