"""When the next frame of a made-up or recorded camera is due."""


class Pace:
    """Even steps in time that slip, and never burst, when somebody is late."""

    def __init__(self, period_ns: int) -> None:
        self._period = period_ns
        self._due: int | None = None

    def next_due(self, now_ns: int) -> int:
        """Return when the next frame is due; a delay of more than a period moves all that follow."""
        if self._due is None:
            self._due = now_ns
            return now_ns
        due = self._due + self._period
        self._due = due if now_ns - due < self._period else now_ns
        return self._due
