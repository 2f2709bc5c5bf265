"""A log that nobody can flood: so many lines a minute of one kind and of all, and a count of the rest."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from firmware.cli.journal import Journal

PER_KIND = 10
IN_ALL = 60
WINDOW_S = 60.0


class Rationed(logging.StreamHandler):  # type: ignore[type-arg] # the stub's stream type says nothing here
    """Writes to the journal or to standard error, a bounded number of lines in each minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, journal: Journal | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._journal = journal
        self._since = clock()
        self._kinds: Counter[str] = Counter()
        self._written = 0
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it; of a kind are those of one logger with one text before its values.

        Of a traceback that is too long for what is left of the minute only the first line is written.
        """
        if self._clock() - self._since >= WINDOW_S:
            self._begin()
        kind = f"{record.name}: {record.msg}"
        if self._kinds[kind] >= PER_KIND or self._written >= IN_ALL:
            self._left_out += 1
            return
        self._kinds[kind] += 1
        lines = self.format(record).splitlines()
        if self._written + len(lines) > IN_ALL:
            lines = lines[:1]
        self._written += len(lines)
        if self._journal is None:
            self.stream.write("\n".join(lines) + self.terminator)
        else:
            self.stream.write(self._journal.told(record, lines))
        self.flush()

    def _begin(self) -> None:
        left_out, self._left_out = self._left_out, 0
        self._since = self._clock()
        self._kinds.clear()
        self._written = 0
        if left_out:
            told = "%d more lines were left out of the log within a minute"
            self.emit(logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, (left_out,), None))
