"""Why an update is refused: one code for machines and one sentence for people."""

from enum import StrEnum


class Code(StrEnum):
    """Every reason."""

    MALFORMED = "MALFORMED"
    UNSIGNED = "UNSIGNED"
    ROLLBACK = "ROLLBACK"
    EXPIRED = "EXPIRED"
    NO_ANCHOR = "NO_ANCHOR"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED = "UNSUPPORTED"
    INCOMPATIBLE = "INCOMPATIBLE"
    DEPENDS = "DEPENDS"
    NOT_FOR_ME = "NOT_FOR_ME"
    CORRUPT = "CORRUPT"
    NO_SPACE = "NO_SPACE"
    QUARANTINED = "QUARANTINED"
    WEAKENS_PRIVACY = "WEAKENS_PRIVACY"
    BUSY = "BUSY"


class UpdateRefused(Exception):
    """An update that is not installed; `code` says why to programs."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code
