"""A few of the simulated releases of `make canaries`: as good goes on, worse is rolled back by the right test."""

from datetime import timedelta

import pytest
from simulated_releases import POLICY, SHADOW, Behaviour, released

GOOD = Behaviour()
WORSE = {
    "more errors": Behaviour(errors=0.06),
    "slower": Behaviour(median_us=800.0),
}


def test_a_version_as_good_is_promoted() -> None:
    assert [released(seed, GOOD, GOOD).state for seed in range(5)] == ["active"] * 5


@pytest.mark.parametrize("name", WORSE)
def test_a_version_that_is_worse_is_rolled_back(name: str) -> None:
    outcomes = [released(seed, GOOD, WORSE[name]) for seed in range(3)]
    assert [o.state for o in outcomes] == ["rolled_back"] * 3
    assert all(("failed" if name == "more errors" else "slow") in o.reason for o in outcomes)


def test_a_version_that_is_wrong_on_matured_labels_is_rolled_back() -> None:
    outcome = released(1, GOOD, Behaviour(loss=0.25), labels=0.5)
    assert (outcome.state, "loss by labels" in outcome.reason) == ("rolled_back", True)


def test_where_no_harm_must_be_shown_a_version_waits_for_the_answers_it_takes() -> None:
    shown = POLICY.model_copy(update={"evidence": "shown", "min_requests": 20, "step": timedelta(seconds=10)})
    outcome = released(1, GOOD, GOOD, policy=shown)
    assert outcome.state == "active"
    assert outcome.answers > 500


def test_a_shadow_as_good_goes_on_and_one_that_says_something_else_does_not() -> None:
    assert [released(seed, GOOD, GOOD, policy=SHADOW).state for seed in range(3)] == ["canary"] * 3
    outcomes = [released(seed, GOOD, Behaviour(distance=0.4), policy=SHADOW) for seed in range(3)]
    assert [(o.state, "from the champion's" in o.reason) for o in outcomes] == [("rolled_back", True)] * 3
