"""Settings that change while the camera runs: every frame is hidden by the policy of its moment."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.core.frames import Detection, Kind, Planes, Verdict
from firmware.core.geometry import Box, covered
from firmware.core.moment import Moment
from firmware.core.policy import FACES, PEOPLE, SECOND_NS, TIMING, Policy
from firmware.core.raw import RawFrame
from firmware.pipeline.hold import Hold
from firmware.pipeline.witness import Witness

FRAME_NS = SECOND_NS // 30
PICTURE = np.zeros((96, 64), np.uint8)
FACE, HEAD, BODY = Box(40, 12, 10, 12), Box(38, 10, 14, 16), Box(30, 10, 30, 80)
ALL = [Detection(Kind.FACE, FACE, 0.9), Detection(Kind.HEAD, HEAD, 0.9), Detection(Kind.PERSON, BODY, 0.9)]

ONLY_FACES = Policy(name="only faces", bodies=True, kinds=frozenset({Kind.FACE}))
ONLY_BODIES = Policy(name="only bodies", bodies=True, kinds=frozenset({Kind.PERSON}))
CHOICES = [PEOPLE, FACES, ONLY_FACES, ONLY_BODIES]
MUST_HIDE = {
    PEOPLE.name: [FACE, HEAD, BODY],
    FACES.name: [FACE, HEAD],
    ONLY_FACES.name: [FACE],
    ONLY_BODIES.name: [BODY],
}
SOURCES = {"faces": frozenset({Kind.FACE}), "people": frozenset({Kind.HEAD, Kind.PERSON})}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.just("")),
        st.tuples(st.just("look"), st.sampled_from(sorted(SOURCES))),
        st.tuples(st.just("lose"), st.sampled_from(sorted(SOURCES))),
        st.tuples(st.just("use"), st.sampled_from([policy.name for policy in CHOICES])),
        st.tuples(st.just("keep"), st.sampled_from("4567")),
    ),
    min_size=30,
    max_size=200,
)


def is_hidden(box: Box, regions: Sequence[Box]) -> bool:
    return any(covered(box, region) == 1 for region in regions)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_is_switched_and_lost_nobody_is_shown_whom_the_policy_hides(
    steps: list[tuple[str, str]],
) -> None:
    policies = {policy.name: policy for policy in CHOICES}
    now = PEOPLE
    witness, hold = Witness(now, SOURCES), Hold(TIMING.hold_frames, TIMING.hold_limit)
    seq = 0
    for what, which in steps:
        if what == "use":
            now = policies[which]
            witness.use(now)
        elif what == "keep":
            hold.keep(int(which))
        elif what == "lose":
            witness.lose(which, "lost")
        elif what == "look":
            found = [one for one in ALL if one.kind in SOURCES[which]]
            witness.saw(which, Moment(seq, seq * FRAME_NS, seq * FRAME_NS), found)
        else:
            seq += 1
            for held in hold.push(RawFrame(Planes.of(PICTURE), seq * FRAME_NS, seq), witness.settled):
                judged = witness.judge(held)
                assert judged.policy == now.digest
                if judged.verdict is not Verdict.BLIND:
                    assert all(is_hidden(box, judged.regions) for box in MUST_HIDE[now.name]), judged


def test_a_digest_is_of_what_is_hidden_and_not_of_the_name() -> None:
    assert len({policy.digest for policy in CHOICES}) == len(CHOICES)
    assert Policy(name="another name", bodies=True).digest == PEOPLE.digest
    assert Policy(name="people", bodies=True, face_growth=1.5).digest != PEOPLE.digest
