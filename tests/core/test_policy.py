"""What is covered, given what is in a frame: faces, heads, and people of whom neither was found."""

import pytest

from firmware.core.frames import Kind
from firmware.core.geometry import Box, covered
from firmware.core.policy import FACES, PEOPLE

BODY = Box(100, 100, 80, 240)
HEAD = Box(120, 95, 40, 50)
"""The head of BODY."""


def test_everybody_is_hidden_whole_where_bodies_are() -> None:
    hidden = PEOPLE.covers([(Kind.PERSON, BODY), (Kind.HEAD, HEAD), (Kind.FACE, Box(400, 50, 20, 20))])
    assert max(covered(BODY, box) for box in hidden) == 1
    assert max(covered(Box(400, 50, 20, 20), box) for box in hidden) == 1


def test_a_head_that_was_found_is_hidden_and_the_body_is_not() -> None:
    hidden = FACES.covers([(Kind.PERSON, BODY), (Kind.HEAD, HEAD)])
    assert [covered(HEAD, box) for box in hidden] == [1]
    assert covered(BODY, hidden[0]) < 0.15


def test_a_person_without_a_head_has_the_top_of_the_box_hidden() -> None:
    (hidden,) = FACES.covers([(Kind.PERSON, BODY)])
    assert covered(Box(BODY.x, BODY.y, BODY.w, BODY.h / 4), hidden) == 1
    assert covered(BODY, hidden) < 0.35


@pytest.mark.parametrize(
    "head",
    [
        Box(120, 220, 40, 50),  # somebody nearer, in front of the body
        Box(300, 95, 40, 50),  # beside it
        Box(90, 100, 100, 130),  # larger than half of it: another, nearer person's
    ],
)
def test_somebody_elses_head_leaves_a_body_headless(head: Box) -> None:
    hidden = FACES.covers([(Kind.PERSON, BODY), (Kind.HEAD, head)])
    assert len(hidden) == 2
    assert max(covered(Box(BODY.x, BODY.y, BODY.w, BODY.h / 4), box) for box in hidden) == 1


def test_one_head_is_one_persons_alone() -> None:
    hidden = FACES.covers([(Kind.PERSON, BODY), (Kind.PERSON, BODY.moved(10, 0)), (Kind.HEAD, HEAD)])
    assert len(hidden) == 2
