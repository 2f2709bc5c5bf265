"""The published schema of what a camera tells its broker, and how payloads are held against it."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs

from firmware.remote import events

SCHEMA: dict[str, Any] = json.loads(
    Path(events.__file__).with_name("events.schema.json").read_text(encoding="utf-8")
)


def require(what: str, payload: bytes) -> None:
    """Fail unless a payload is what one of the schema's parts says."""
    assert what in SCHEMA["$defs"], what
    validator = jsonschema_rs.validator_for({"$ref": f"#/$defs/{what}", "$defs": SCHEMA["$defs"]})
    faults = [str(fault) for fault in validator.iter_errors(json.loads(payload))]
    assert not faults, (what, payload, faults)
