"""The owner's word for one update that weakens privacy: a statement about that very release."""

from firmware.access.owner import OwnerKey
from firmware.access.statement import Expected, Statement, StatementRefused, verify

KIND = "update"


def allows(release: str, counter: int) -> dict[str, object]:
    """Return what such a statement says: a release's id, and its security counter, which is the revision."""
    return {"release": release, "counter": counter}


def require_allowed(
    envelope: str, owner: OwnerKey | None, device: str, release: tuple[str, int], now_s: float
) -> Statement:
    """Return the statement that allows a release (its id and counter); raises StatementRefused."""
    if owner is None:
        raise StatementRefused("the camera has no owner who could sign it; claim the camera")
    said = verify(envelope, owner, Expected(KIND, device, release[1], now_s))
    if dict(said.content) != allows(*release):
        raise StatementRefused("it is about another update")
    return said
