"""A flood of log lines becomes few, and a count of the rest."""

import io
import logging
from collections.abc import Iterator

import pytest

from firmware.cli.rationed import IN_ALL, PER_KIND, WINDOW_S, Rationed


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, Clock, io.StringIO]]:
    """A log of its own, its clock, and what was written."""
    logger, clock, written = logging.getLogger(__name__), Clock(), io.StringIO()
    handler = Rationed(clock)
    handler.setStream(written)
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, clock, written
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_flood_is_a_few_lines_and_a_count(log: tuple[logging.Logger, Clock, io.StringIO]) -> None:
    logger, clock, written = log
    for n in range(10_000):
        logger.warning("a malformed request: %d", n)
    logger.warning("something else")
    lines = written.getvalue().splitlines()
    assert lines == [f"a malformed request: {n}" for n in range(PER_KIND)] + ["something else"]
    clock.now = WINDOW_S
    logger.error("next")
    assert written.getvalue().splitlines()[len(lines) :] == [
        f"{10_000 - PER_KIND} more lines were left out of the log within a minute",
        "next",
    ]


def test_many_kinds_are_bounded_too(log: tuple[logging.Logger, Clock, io.StringIO]) -> None:
    logger, _, written = log
    for text in map(str, range(1000)):
        logger.warning(text)
    assert len(written.getvalue().splitlines()) == IN_ALL
