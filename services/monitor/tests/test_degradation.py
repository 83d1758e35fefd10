"""When a champion breaks its level: enough requests, and more failures than the limit."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.degradation import Level, degraded

levels = st.builds(Level, st.floats(0, 1), st.just(timedelta(minutes=1)), st.integers(1, 1000))


@given(st.integers(0, 10_000), st.integers(0, 10_000), levels)
def test_it_is_exactly_the_rule(answered: int, failed: int, level: Level) -> None:
    found = degraded(answered, failed, level)
    total = answered + failed
    assert (found is not None) == (total >= level.min_requests and failed > level.max_error_share * total)
    if found is not None:
        assert found.value == failed / total
        assert found.limit == level.max_error_share


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 1000), levels)
def test_more_failures_in_place_of_answers_never_mend_it(answered: int, failed: int, more: int, level: Level) -> None:
    if degraded(answered + more, failed, level) is not None:
        assert degraded(answered, failed + more, level) is not None


def test_the_reason_has_the_figures() -> None:
    found = degraded(90, 10, Level(0.05, timedelta(minutes=1), 50))
    assert found is not None
    assert found.reason == "10 of 100 requests failed in 60 s (10.0%); the limit is 5.0%"


def test_too_few_are_no_evidence() -> None:
    assert degraded(0, 49, Level(0.05, timedelta(minutes=1), 50)) is None
