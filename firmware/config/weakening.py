"""Which changes of the settings weaken privacy: one rule for every key."""

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from firmware.config.settings import RESTART, Settings
from firmware.core.policy import FACES, PEOPLE


class Weaker(Enum):
    """Which direction of a key weakens privacy; the value says it to people."""

    NEVER = "none"
    LOWER = "a smaller number"
    HIGHER = "a larger number"
    ADDED = "an entry more"
    CHANGED = "any other value"
    REPLACED = "any other value, once there is one"
    LATER = "a value further down the list"


Rule: TypeAlias = Weaker | tuple[str, ...]
"""A direction, or the values from the most private to the least."""

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "hide": (PEOPLE.name, FACES.name),
        "hold_frames": Weaker.LOWER,
        "viewing": ("login", "open"),
        "raw": ("never", "second_person", "alone"),
        "raw_minutes": Weaker.HIGHER,
        "max_viewers": Weaker.NEVER,
        "contact": Weaker.NEVER,
        # Names under which the camera answers let nobody in who was not; sites and proxies do.
        "host_names": Weaker.NEVER,
        "origins": Weaker.ADDED,
        "trusted_proxies": Weaker.ADDED,
        "ice_addresses": Weaker.NEVER,
        "update_hours": Weaker.NEVER,
        # A broker hears of what goes on before the camera, and may ask it for things.
        "mqtt": Weaker.CHANGED,
        "mqtt_ca": Weaker.CHANGED,
        "mqtt_commands": Weaker.ADDED,
        # It reads what the broker hears anyway.
        "home_assistant": Weaker.NEVER,
        # Each asks something more of who passes; one that is moved is another. To take one away asks less.
        "zones": Weaker.ADDED,
        "lines": Weaker.ADDED,
        "least_count": Weaker.LOWER,
        # Whoever keeps the heads is who would notice.
        "audit_syslog": Weaker.REPLACED,
        "audit_syslog_ca": Weaker.REPLACED,
        # Whoever can put a certificate of theirs here can read what viewers are sent.
        "tls_certificate": Weaker.CHANGED,
        "tls_key": Weaker.CHANGED,
    }
)

_WEAKENS: Mapping[Weaker, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        Weaker.NEVER: lambda before, after: False,
        Weaker.LOWER: lambda before, after: after < before,
        Weaker.HIGHER: lambda before, after: after > before,
        Weaker.ADDED: lambda before, after: not set(after) <= set(before),
        Weaker.REPLACED: lambda before, after: before is not None and before != after,
        Weaker.CHANGED: lambda before, after: before != after,
    }
)


def changed_keys(before: Settings, after: Settings) -> list[str]:
    """Return the keys whose values differ, in the settings' order."""
    return [key for key in Settings.model_fields if getattr(before, key) != getattr(after, key)]


def weakened_keys(before: Settings, after: Settings) -> list[str]:
    """Return the keys whose change weakens privacy, in the settings' order."""
    return [key for key in changed_keys(before, after) if _weakens(key, before, after)]


def _weakens(key: str, before: Settings, after: Settings) -> bool:
    rule, old, new = RULES[key], getattr(before, key), getattr(after, key)
    if isinstance(rule, tuple):
        return rule.index(new) > rule.index(old)
    return _WEAKENS[rule](old, new)


def schema() -> dict[str, object]:
    """Return the JSON Schema of the settings; `x-weakens` and `x-restart` say what a change of a key does."""
    told = Settings.model_json_schema()
    for key, described in told["properties"].items():
        rule = RULES[key]
        described["x-weakens"] = (Weaker.LATER if isinstance(rule, tuple) else rule).value
        described["x-restart"] = key in RESTART
        if isinstance(rule, tuple):
            described["enum"] = list(rule)
    return told
