"""JSON from strangers: bounded in length and depth, every key once, whole numbers alone."""

import json
from typing import Any

from ota.errors import Code, UpdateRefused

DEEPEST = 32


def _no_fraction(text: str) -> Any:
    raise ValueError(f"{text} is no whole number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key, value in pairs:
        if key in told:
            raise ValueError(f"{key!r} is there twice")
        told[key] = value
    return told


def load(content: bytes, longest: int, what: str) -> dict[str, Any]:
    """Return a JSON object; raises UpdateRefused (MALFORMED)."""
    if len(content) > longest:
        raise UpdateRefused(Code.MALFORMED, f"{what}: longer than {longest} bytes")
    if content.count(b"[") + content.count(b"{") > len(content) // 2 + DEEPEST:
        raise UpdateRefused(Code.MALFORMED, f"{what}: nested too deeply")
    try:
        text = content.decode("utf-8")
        told = json.loads(
            text, object_pairs_hook=_object, parse_float=_no_fraction, parse_constant=_no_fraction
        )
        _measure(told, DEEPEST)
    except (ValueError, RecursionError) as exc:
        raise UpdateRefused(Code.MALFORMED, f"{what}: {exc}") from exc
    if not isinstance(told, dict):
        raise UpdateRefused(Code.MALFORMED, f"{what}: no JSON object")
    return told


def _measure(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError("nested too deeply")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _measure(inner, left - 1)
