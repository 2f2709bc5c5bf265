"""Names of the topics of one camera: all below `veilcam/<device>/`, so that one line of an ACL is enough."""

ROOT = "veilcam"

STATUS = "status"
DESIRED, REPORTED = "settings/desired", "settings/reported"
COMMANDS = "command/+"
RESULT = "result"
EVENT = "event"
TELEMETRY = "telemetry"
STATE = "state"
UPDATE_OFFER, UPDATE_STATUS = "update/offer", "update/status"
AUDIT_HEAD = "audit/head"

DEVICE_LENGTH = 17
"""Two groups of a fingerprint: 64 bits, as in the device's own certificate."""


def device_of(fingerprint: str) -> str:
    """Return what a device is called at a broker: the beginning of its fingerprint."""
    return fingerprint[:DEVICE_LENGTH]


def below(device: str, name: str) -> str:
    """Return a whole topic."""
    return f"{ROOT}/{device}/{name}"


def name_in(device: str, topic: str) -> str | None:
    """Return what a topic is called below a device's own; None where it is another's."""
    prefix = below(device, "")
    return topic.removeprefix(prefix) if topic.startswith(prefix) else None
