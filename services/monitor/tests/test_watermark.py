"""The watermark: never ahead of what is counted, moved on by silence, and not stuck by a broker that lost its data."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.watermark import Look, Watermark, advance

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: int, *ends: int) -> Look:
    return Look(T0 + timedelta(seconds=seconds), dict(enumerate(ends)))


def test_a_log_that_is_read_moves_it_to_now_also_in_silence() -> None:
    mark = advance(Watermark(), at(1, 5, 0), {0: 5, 1: 0})
    assert mark.counted_to == T0 + timedelta(seconds=1)
    assert advance(mark, at(9, 5, 0), {0: 5, 1: 0}).counted_to == T0 + timedelta(seconds=9)


def test_a_backlog_holds_it_at_the_look_that_is_reached() -> None:
    mark = advance(Watermark(), at(1, 10), {0: 3})
    assert mark.counted_to is None
    mark = advance(mark, at(2, 20), {0: 9})
    assert mark.counted_to is None
    mark = advance(mark, at(3, 30), {0: 12})
    assert mark.counted_to == T0 + timedelta(seconds=1), "by then the log ended at 10"
    assert advance(mark, at(4, 40), {0: 30}).counted_to == T0 + timedelta(seconds=3)


def test_a_broker_that_lost_its_data_does_not_hold_it() -> None:
    mark = advance(Watermark(), at(1, 100), {0: 50})
    assert advance(mark, at(2, 4), {0: 4}).counted_to == T0 + timedelta(seconds=2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40))
def test_everything_before_it_is_handled_and_it_never_goes_back(steps: list[tuple[int, int]]) -> None:
    written = handled = 0
    wrote_at: list[int] = []
    mark = Watermark()
    for second, (more, read) in enumerate(steps):
        wrote_at += [second] * more
        written += more
        handled = min(written, handled + read)
        before = mark.counted_to
        mark = advance(mark, at(second, written), {0: handled})
        assert before is None or (mark.counted_to is not None and mark.counted_to >= before)
        if mark.counted_to is not None:
            counted = (mark.counted_to - T0).total_seconds()
            assert all(moment > counted for moment in wrote_at[handled:])
