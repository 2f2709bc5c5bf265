"""What `veilcam doctor --state DIR` says of the device whose state folder that is."""

from pathlib import Path

from firmware.access.identity import known_identity
from firmware.errors import VeilcamError


def examine(state: Path) -> tuple[bool, str, str]:
    """Return whether the device's keys are well, `device`, and its fingerprint or what to do."""
    try:
        identity = known_identity(state)
    except VeilcamError as exc:
        return False, "device", str(exc)
    if identity is None:
        return True, "device", f"{state}: no keys yet; they are made when the camera first runs"
    return True, "device", f"fingerprint {identity.fingerprint}; own certificate {identity.tls_fingerprint}"
