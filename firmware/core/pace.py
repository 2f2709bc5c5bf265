"""When the next frame of a made-up or recorded camera is due."""


class Pace:
    """Steps in time that slip, and never burst, when somebody is late."""

    def __init__(self, period_ns: int) -> None:
        self._period = period_ns
        self._due: int | None = None

    def next_due(self, now_ns: int, step_ns: int | None = None) -> int:
        """Return when the next frame is due, `step_ns` (else the period) after the last one.

        A delay of more than a period moves all that follow.
        """
        if self._due is None:
            self._due = now_ns
            return now_ns
        due = self._due + (self._period if step_ns is None else step_ns)
        self._due = due if now_ns - due < self._period else now_ns
        return self._due
