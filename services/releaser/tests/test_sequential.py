"""The tests that decide a canary: valid at every look, and strong enough to be of use; figures by simulation."""

from math import comb, exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.releaser.sequential import Tally, above, within, worse

BELIEVED = log(1 / 0.05)


def ever(random: Random, p1: float, p0: float, looks: int, batch: int, margin: float) -> bool:
    """Whether harm is ever believed over so many looks."""
    bad, good, n = 0, 0, 0
    for _ in range(looks):
        n += batch
        bad += sum(random.random() < p1 for _ in range(batch))
        good += sum(random.random() < p0 for _ in range(batch))
        if worse(Tally(n, bad), Tally(n, good), margin) >= BELIEVED:
            return True
    return False


def test_looking_at_every_step_raises_few_false_alarms_on_the_border() -> None:
    """Where it is hardest: the candidate is worse by just the margin."""
    random = Random(1)
    alarms = sum(ever(random, 0.06, 0.05, looks=50, batch=20, margin=0.01) for _ in range(200))
    assert alarms <= 10


def test_what_is_truly_worse_is_found() -> None:
    random = Random(2)
    assert sum(ever(random, 0.15, 0.05, looks=60, batch=20, margin=0.01) for _ in range(100)) >= 95


def test_the_mean_of_the_evidence_under_the_hypothesis_is_at_most_one() -> None:
    """Exactly, over all outcomes of ten answers at the limit: what makes it a test martingale's value."""
    for limit in (0.01, 0.2, 0.5):
        mean = sum(
            comb(10, bad) * limit**bad * (1 - limit) ** (10 - bad) * exp(above(Tally(10, bad), limit))
            for bad in range(11)
            if above(Tally(10, bad), limit) > 0
        )
        assert mean <= 1


def test_the_mean_of_the_evidence_that_it_is_worse_is_at_most_one() -> None:
    """Exactly, over all outcomes of so many answers each, where the candidate is worse by just the margin."""

    def chance(bad: int, n: int, share: float) -> float:
        return comb(n, bad) * share**bad * (1 - share) ** (n - bad)

    n = 40
    for share, margin in ((0.05, 0.0), (0.1, 0.05), (0.5, 0.0)):
        mean = 0.0
        for ours in range(n + 1):
            for theirs in range(n + 1):
                evidence = worse(Tally(n, ours), Tally(n, theirs), margin)
                if evidence > 0:
                    mean += chance(ours, n, share + margin) * chance(theirs, n, share) * exp(evidence)
        assert mean <= 1


def test_losses_between_nought_and_one_raise_no_more_alarms() -> None:
    random, alarms = Random(3), 0
    for _ in range(200):
        ours = theirs = 0.0
        for n in range(20, 1001, 20):
            ours += sum(random.betavariate(0.3, 1.7) for _ in range(20))
            theirs += sum(random.betavariate(0.3, 1.7) for _ in range(20))
            if worse(Tally(n, ours), Tally(n, theirs), 0.0) >= BELIEVED:
                alarms += 1
                break
    assert alarms <= 10


tallies = st.integers(0, 500).flatmap(lambda n: st.builds(Tally, st.just(n), st.floats(0, n)))


@given(tallies, tallies, st.floats(0, 0.5))
def test_harm_and_its_absence_are_never_both_shown(ours: Tally, theirs: Tally, margin: float) -> None:
    harm, none = worse(ours, theirs, margin), within(ours, theirs, margin)
    assert harm == 0 or none == 0
    assert harm < 1e-6 or ours.share > theirs.share + margin
    assert none < 1e-6 or ours.share < theirs.share + margin


@given(tallies, st.floats(0.001, 0.5))
def test_nothing_is_shown_against_nobody(ours: Tally, margin: float) -> None:
    """Without a champion's answers there is nothing to be worse than."""
    assert worse(ours, Tally(0, 0), margin) < 1e-6


@pytest.mark.parametrize(("count", "bad"), [(0, 0), (10, 0), (10, 10), (1e9, 1e6)])
def test_ends_of_the_range_are_taken(count: float, bad: float) -> None:
    assert worse(Tally(count, bad), Tally(count, 0), 0.0) >= 0
    assert above(Tally(count, bad), 0.0) >= 0
    assert above(Tally(count, bad), 1.0) == 0
