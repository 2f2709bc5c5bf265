"""The source's own clock is believed where it can be, and nothing is where it cannot."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firmware.core.moment import AHEAD_NS, BEHIND_NS, SETTLED_NS, Moment, SourceClock
from firmware.core.policy import SECOND_NS

FRAME_NS = SECOND_NS // 25
EPOCH_NS = 777 * SECOND_NS
"""Where the source's clock happens to stand."""


def stamped(arrivals: list[tuple[int | None, int]]) -> list[Moment]:
    """Return the moments of frames given as (source's stamp, arrival)."""
    clock = SourceClock()
    return [clock.moment(seq, stamp, arrived) for seq, (stamp, arrived) in enumerate(arrivals)]


def steady(count: int, delay_ns: int = 0) -> list[tuple[int | None, int]]:
    return [(EPOCH_NS + n * FRAME_NS, SECOND_NS + n * FRAME_NS + delay_ns) for n in range(count)]


def test_a_stall_and_a_burst_keep_the_distances_of_the_scene() -> None:
    whole = steady(100)
    stall_ns = whole[50][1] + SECOND_NS * 8 // 10
    arrivals = [*whole[:50], *((stamp, max(arrived, stall_ns)) for stamp, arrived in whole[50:])]
    moments = stamped(arrivals)
    assert {moment.timeline for moment in moments} == {0}
    steps = [b.captured_ns - a.captured_ns for a, b in pairwise(moments)]
    assert all(abs(step - FRAME_NS) < FRAME_NS // 1000 for step in steps)
    before, first = moments[49], moments[50]
    assert not first.within(SECOND_NS // 2, before), "it came late, and nobody knows that it is not"


def test_frames_that_come_too_late_are_of_no_known_time() -> None:
    whole = steady(100)
    stall_ns = whole[50][1] + 3 * SECOND_NS
    moments = stamped([*whole[:50], *((stamp, max(arrived, stall_ns)) for stamp, arrived in whole[50:])])
    known = [moment.timeline for moment in moments]
    assert known[:50] == [0] * 50
    assert None in known[50:75]


def test_a_source_that_stays_late_is_believed_again() -> None:
    whole = steady(50)
    moments = stamped([*whole, *((stamp, at + 2 * SECOND_NS) for stamp, at in steady(150)[50:])])
    known = [moment.timeline for moment in moments]
    settled = 50 + SETTLED_NS // FRAME_NS + 2
    assert known[50] is None
    assert known[settled:] == [1] * len(known[settled:])


def test_stamps_that_repeat_go_back_or_jump_ahead_are_not_compared_with_those_before() -> None:
    for jump in (-5 * SECOND_NS, -1, 2 * AHEAD_NS, 60 * SECOND_NS):
        whole = steady(20)
        jumped = [(stamp + jump + (-FRAME_NS if jump < 0 else 0), at) for stamp, at in whole[10:] if stamp]
        moments = stamped([*whole[:10], *jumped])
        assert {moment.timeline for moment in moments[:10]} == {0}
        assert 0 not in {moment.timeline for moment in moments[10:]}, jump
    repeated = stamped([*steady(10), (steady(10)[-1][0], steady(11)[-1][1])])
    assert repeated[-1].timeline is None
    assert stamped([(None, SECOND_NS)])[0].timeline is None


def test_clocks_that_drift_apart_as_crystals_do_stay_on_one_timeline() -> None:
    for ppm in (-400, -50, 50, 90):
        hours = [
            (EPOCH_NS + n * FRAME_NS, SECOND_NS + n * (FRAME_NS + FRAME_NS * ppm // 10**6))
            for n in range(50_000)
        ]
        moments = stamped(hours)
        assert {moment.timeline for moment in moments} == {0}
        assert abs(moments[-1].captured_ns - moments[-1].arrived_ns) < AHEAD_NS


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-(10**12), 10**12)), st.integers(0, 10**9)), max_size=60
    )
)
def test_whatever_a_source_says_time_rises_and_distances_are_never_made_smaller(
    said: list[tuple[int | None, int]],
) -> None:
    arrived, arrivals = 0, []
    for stamp, gap in said:
        arrived += gap
        arrivals.append((stamp, arrived))
    moments = stamped(arrivals)
    for (stamp, _), (later, _), a, b in zip(arrivals, arrivals[1:], moments, moments[1:], strict=False):
        assert b.captured_ns > a.captured_ns
        if a.timeline is not None and a.timeline == b.timeline and stamp is not None and later is not None:
            assert b.captured_ns - a.captured_ns >= (later - stamp) * (1 - 0.0005) - 1
            assert b.arrived_ns - b.captured_ns <= BEHIND_NS
