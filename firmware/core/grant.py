"""The permission to see the raw picture; without one in hand nobody can subscribe to raw packets."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Grant:
    """One person's permission for one purpose, bound to one log-in; made by `access.grants` alone."""

    id: str
    holder: str
    session: str
    purpose: str
    approver: str | None
    """Whoever allowed it; None where the camera's policy asks for no second person."""
