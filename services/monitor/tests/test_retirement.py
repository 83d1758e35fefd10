"""Which versions go: never one that is needed, never the last, and every one that the rule names."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from simulated_retirements import retired

from shipway.monitor.quality import Estimate
from shipway.monitor.retirement import NEEDED, SERVED, Policy, ServedVersion, to_retire

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(timedelta(days=30), timedelta(days=1))
STATES = (*NEEDED, *SERVED, "trained", "rejected", "superseded", "retired")
past = st.none() | st.timedeltas(timedelta(0), timedelta(days=90)).map(lambda ago: NOW - ago)


def ago(**figures: float) -> datetime:
    return NOW - timedelta(**figures)


CHAMPION = ServedVersion(9, "champion", ago(days=60), None, NOW)


@st.composite
def model(draw: st.DrawFn) -> list[ServedVersion]:
    numbers = draw(st.lists(st.integers(1, 50), unique=True, max_size=8))
    champion = draw(st.sampled_from([None, *numbers]))
    others = st.sampled_from([s for s in STATES if s != "champion"])
    return [
        ServedVersion(
            n,
            "champion" if n == champion else draw(others),
            draw(past),
            draw(past),
            draw(past),
            draw(st.booleans()),
            draw(st.booleans()),
        )
        for n in numbers
    ]


@given(model())
def test_what_goes_is_neither_needed_nor_unserved_nor_asked_before(versions: list[ServedVersion]) -> None:
    by_number = {v.version: v for v in versions}
    found = to_retire(versions, POLICY, NOW)
    assert len({r.version for r in found}) == len(found)
    for retire in found:
        v = by_number[retire.version]
        assert v.state in SERVED or (v.degraded and v.state == "last_good")
        assert v.promoted_at is not None and not v.asked
        if retire.policy == "age-and-unused":
            assert NOW - v.promoted_at > POLICY.max_age
            assert all(NOW - t > POLICY.unused_for for t in (v.left_at, v.last_used) if t is not None)
        else:
            assert (retire.policy, v.degraded) == ("degraded", True)


def test_a_version_that_labels_show_to_be_worse_goes_where_that_is_the_rule() -> None:
    champion = ServedVersion(9, "champion", ago(days=2), None, NOW, loss=Estimate(0.2, 0.18, 0.22))
    worse = ServedVersion(1, "standby", ago(days=3), ago(hours=1), NOW, loss=Estimate(0.3, 0.25, 0.35))
    judged = Policy(POLICY.max_age, POLICY.unused_for, when_worse=True)
    assert to_retire([worse, champion], POLICY, NOW) == []
    (found,) = to_retire([worse, champion], judged, NOW)
    assert (found.version, found.policy) == (1, "continued-evaluation")
    assert found.reason == "mean loss 0.300 (at least 0.250), that of champion 9 0.200 (at most 0.220)"
    for loss in (None, Estimate(0.9, None, None), Estimate(0.3, 0.215, 0.4)):
        unsure = ServedVersion(1, "standby", ago(days=3), ago(hours=1), NOW, loss=loss)
        assert to_retire([unsure, champion], judged, NOW) == []
    for own, its in ((5, 10), (10, None)):
        other = replace(worse, ndcg_at=own), replace(champion, ndcg_at=its)
        assert to_retire(other, judged, NOW) == [], "losses of another exam say nothing"
    assert to_retire([replace(v, ndcg_at=5) for v in (worse, champion)], judged, NOW)
    last_good = ServedVersion(1, "last_good", ago(days=3), ago(hours=1), NOW, loss=Estimate(0.9, 0.8, 1.0))
    assert to_retire([last_good, champion], judged, NOW) == [], "it is needed, however bad"


@given(model())
def test_a_promoted_version_always_stays(versions: list[ServedVersion]) -> None:
    gone = {r.version for r in to_retire(versions, POLICY, NOW)}
    if gone:
        assert any(v.state == "champion" and v.version not in gone for v in versions)


@given(model())
def test_once_asked_for_it_is_not_again(versions: list[ServedVersion]) -> None:
    gone = {r.version for r in to_retire(versions, POLICY, NOW)}
    later = [
        ServedVersion(
            v.version, v.state, v.promoted_at, v.left_at, v.last_used, v.degraded, v.asked or v.version in gone
        )
        for v in versions
    ]
    assert to_retire(later, POLICY, NOW) == []


def test_an_old_unused_version_goes_with_its_figures() -> None:
    old = ServedVersion(1, "standby", ago(days=40), ago(days=20), ago(days=10))
    (found,) = to_retire([old, CHAMPION], POLICY, NOW)
    assert (found.version, found.policy) == (1, "age-and-unused")
    assert found.reason == "promoted 40.0 d ago (limit 30.0 d), unused for 10.0 d (limit 24.0 h)"


def test_each_half_of_the_rule_alone_keeps_it() -> None:
    young = ServedVersion(1, "standby", ago(days=29), ago(days=20), None)
    used = ServedVersion(2, "standby", ago(days=40), ago(days=20), ago(hours=23))
    just_replaced = ServedVersion(3, "standby", ago(days=40), ago(hours=23), None)
    assert to_retire([young, used, just_replaced, CHAMPION], POLICY, NOW) == []


def test_a_degraded_version_goes_once_it_is_replaced() -> None:
    bad = ServedVersion(1, "rolled_back", ago(days=1), ago(minutes=1), NOW, degraded=True)
    assert [r.policy for r in to_retire([bad, CHAMPION], POLICY, NOW)] == ["degraded"]
    assert to_retire([bad], POLICY, NOW) == []


def test_a_degraded_champion_that_was_succeeded_goes_though_it_is_the_one_before() -> None:
    """It was not rolled back, as there was nothing to go back to: the next version took its place."""
    bad = ServedVersion(1, "last_good", ago(days=1), ago(minutes=1), NOW, degraded=True)
    good = ServedVersion(1, "last_good", ago(days=90), ago(days=90), None)
    assert [r.policy for r in to_retire([bad, CHAMPION], POLICY, NOW)] == ["degraded"]
    assert to_retire([good, CHAMPION], POLICY, NOW) == []


def test_at_the_limit_it_stays() -> None:
    limit = ServedVersion(1, "standby", NOW - POLICY.max_age, None, NOW - POLICY.unused_for)
    assert to_retire([limit, CHAMPION], POLICY, NOW) == []


def test_labels_of_simulated_versions_retire_those_that_are_worse_alone() -> None:
    """A few of the retirements of `make canaries`."""
    assert not any(retired(seed, 0.15, looks=50).retired for seed in range(10))
    assert all(retired(seed, 0.2, looks=50).retired for seed in range(10))
