"""Teaches Schemathesis to send session descriptions as the text that they are."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", errors="replace")
