"""Sessions: bounded, ended by time, by name and by role, and never by a clock that somebody sets."""

from pathlib import Path

import pytest

from firmware.access.people import People, Person, hashed
from firmware.access.roles import ANYBODY, DELICATE, ROLES, Right
from firmware.access.sessions import IDLE_S, LONGEST_S, MOST_EACH, Sessions
from tests.audit.test_audit import Hands

SECOND = 10**9


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def people(tmp_path: Path, hands: Hands) -> People:
    made = People(tmp_path, hands)
    password = hashed("ivy", "correct horse battery")
    made.put(Person(name="ivy", roles=("investigator",), password=password))
    made.put(Person(name="bob", roles=("viewer",), password=password))
    return made


def test_a_token_is_good_until_it_is_idle_or_old(people: People, hands: Hands) -> None:
    sessions = Sessions(people, hands)
    token, session = sessions.begin("ivy", strong=True)
    for _ in range(int(LONGEST_S / IDLE_S * 2) - 1):
        hands.now_ns += int(IDLE_S / 2) * SECOND
        assert sessions.of(token) is session
    hands.now_ns += int(IDLE_S / 2) * SECOND
    assert sessions.of(token) is None, "twelve hours, however much it is used"
    token, session = sessions.begin("ivy", strong=True)
    hands.now_ns += int(IDLE_S) * SECOND
    assert sessions.of(token) is None
    assert sessions.by_id(session.id) is None
    sessions.begin("bob", strong=False)
    assert len(sessions) == 1, "and it is forgotten"


def test_what_they_may_is_asked_of_the_accounts_each_time(people: People, hands: Hands) -> None:
    sessions = Sessions(people, hands)
    _, weak = sessions.begin("ivy", strong=False)
    _, strong = sessions.begin("ivy", strong=True)
    assert Right.ASK not in sessions.principal(weak).rights
    assert Right.ASK in sessions.principal(strong).rights
    people.change("ivy", lambda person: {"roles": ("viewer",)})
    assert sessions.principal(strong).rights == ROLES["viewer"]
    people.remove("ivy")
    assert sessions.principal(strong) == ANYBODY
    assert sessions.by_id(strong.id) is None


def test_somebody_has_so_many_and_others_keep_theirs(people: People, hands: Hands) -> None:
    sessions = Sessions(people, hands)
    other, _ = sessions.begin("bob", strong=False)
    first, _ = sessions.begin("ivy", strong=True)
    for _ in range(MOST_EACH):
        last, session = sessions.begin("ivy", strong=True)
    assert sessions.of(first) is None
    assert sessions.of(last) is session
    assert sessions.of(other) is not None
    assert sessions.count("ivy") == MOST_EACH
    assert sessions.end_of("ivy", but=session.id)
    assert sessions.count("ivy") == 1
    assert sessions.end(session.id)
    assert not sessions.end(session.id)


def test_roles_give_the_least() -> None:
    assert ROLES["viewer"] == {Right.WATCH}
    assert not ROLES["operator"] & DELICATE
    assert Right.ASK not in ROLES["owner"], "whoever owns it asks like everybody else"
    assert not {Right.ASK, Right.APPROVE} <= set().union(*(ROLES[role] for role in ("auditor", "operator")))
