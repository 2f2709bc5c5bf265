"""Who may do what: rights, roles as data, and the principal that every request is made by."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Right(StrEnum):
    """One thing that somebody may do."""

    WATCH = "watch"
    MEASURE = "measure"
    SETTINGS = "settings"
    UPDATE = "update"
    ASK = "ask"
    APPROVE = "approve"
    REVOKE = "revoke"
    SEE_GRANTS = "see grants"
    USERS = "users"
    SEE_USERS = "see users"
    AUDIT = "audit"


ROLES: Mapping[str, frozenset[Right]] = MappingProxyType(
    {
        "viewer": frozenset({Right.WATCH}),
        "operator": frozenset({Right.WATCH, Right.MEASURE, Right.SETTINGS}),
        "investigator": frozenset({Right.WATCH, Right.ASK}),
        "approver": frozenset({Right.WATCH, Right.APPROVE, Right.REVOKE, Right.SEE_GRANTS}),
        "auditor": frozenset({Right.AUDIT, Right.SEE_GRANTS, Right.SEE_USERS}),
        "owner": frozenset(Right) - {Right.ASK},
    }
)
"""Least first; whoever wants more is given another role, such as an owner who is an investigator, too."""

DELICATE = frozenset({Right.ASK, Right.APPROVE, Right.USERS})
"""Rights that lead to the raw picture: they need a second factor."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes a request; `session` names the log-in that it is made in."""

    name: str
    rights: frozenset[Right]
    session: str | None = None


ANYBODY = Principal("anybody", frozenset())
"""Somebody who has not logged in."""

CONSOLE = Principal(
    "console",
    frozenset(
        {
            Right.MEASURE,
            Right.SETTINGS,
            Right.UPDATE,
            Right.SEE_GRANTS,
            Right.REVOKE,
            Right.USERS,
            Right.SEE_USERS,
            Right.AUDIT,
        }
    ),
)
"""Whoever has the device's own command line: they may end a grant, and neither ask for nor approve one."""
