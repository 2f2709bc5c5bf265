"""What is covered, given what is in a frame: faces, heads, and people of whom neither was found."""

import pytest

from firmware.core.frames import Kind
from firmware.core.geometry import Box, covered
from firmware.core.policy import FACES, PEOPLE, Policy, Present

BODY = Box(100, 100, 80, 240)
HEAD = Box(120, 95, 40, 50)
"""The head of BODY."""


WIDTH = 1280


def hidden_of(policy: Policy, *present: tuple[Kind, Box]) -> list[Box]:
    """Return what a policy hides of what is in one frame of WIDTH pixels across."""
    parts = policy.parts(WIDTH)
    return policy.covers([Present(kind, box, parts[kind](box)) for kind, box in present])


def test_everybody_is_hidden_whole_where_bodies_are() -> None:
    hidden = hidden_of(PEOPLE, (Kind.PERSON, BODY), (Kind.HEAD, HEAD), (Kind.FACE, Box(400, 50, 20, 20)))
    assert max(covered(BODY, box) for box in hidden) == 1
    assert max(covered(Box(400, 50, 20, 20), box) for box in hidden) == 1


def test_a_head_that_was_found_is_hidden_and_the_body_is_not() -> None:
    hidden = hidden_of(FACES, (Kind.PERSON, BODY), (Kind.HEAD, HEAD))
    assert [covered(HEAD, box) for box in hidden] == [1]
    assert covered(BODY, hidden[0]) < 0.15


def test_a_person_without_a_head_has_the_top_of_the_box_hidden() -> None:
    (hidden,) = hidden_of(FACES, (Kind.PERSON, BODY))
    assert covered(Box(BODY.x, BODY.y, BODY.w, BODY.h / 4), hidden) == 1
    assert covered(BODY, hidden) < 0.4


@pytest.mark.parametrize(
    "head",
    [
        Box(120, 220, 40, 50),  # somebody nearer, in front of the body
        Box(300, 95, 40, 50),  # beside it
        Box(90, 100, 100, 130),  # larger than half of it: another, nearer person's
    ],
)
def test_somebody_elses_head_leaves_a_body_headless(head: Box) -> None:
    hidden = hidden_of(FACES, (Kind.PERSON, BODY), (Kind.HEAD, head))
    assert len(hidden) == 2
    assert max(covered(Box(BODY.x, BODY.y, BODY.w, BODY.h / 4), box) for box in hidden) == 1


def test_one_head_is_one_persons_alone() -> None:
    hidden = hidden_of(FACES, (Kind.PERSON, BODY), (Kind.PERSON, BODY.moved(10, 0)), (Kind.HEAD, HEAD))
    assert len(hidden) == 2


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (Box(400, 100, 100, 300), Box(435, 100, 30, 42)),  # standing
        (Box(400, 100, 120, 200), Box(440, 100, 45, 60)),  # sitting
        (Box(400, 100, 200, 240), Box(450, 100, 100, 140)),  # to the shoulders
        (Box(400, 100, 160, 150), Box(420, 100, 110, 140)),  # hardly more than a face
        (Box(0, 100, 60, 300), Box(0, 100, 55, 120)),  # half of somebody, cut by the left side
        (Box(1230, 100, 50, 300), Box(1230, 100, 50, 120)),  # and by the right one
    ],
)
def test_head_of_whoever_stands_sits_is_near_or_is_cut_by_the_frame(body: Box, head: Box) -> None:
    hidden = hidden_of(FACES, (Kind.PERSON, body))
    assert max(covered(head, box) for box in hidden) == 1


@pytest.mark.parametrize(
    "witness", [(Kind.FACE, Box(128, 105, 24, 34)), (Kind.HEAD, HEAD), (Kind.PERSON, BODY)]
)
def test_each_witness_alone_hides_the_face(witness: tuple[Kind, Box]) -> None:
    for policy in (FACES, PEOPLE):
        hidden = hidden_of(policy, witness)
        assert max(covered(Box(128, 105, 24, 34), box) for box in hidden) == 1
