"""What `shipway train --wait` says on the way: each step once, holds by name, and texts as they are."""

from dataclasses import replace

import pytest

from shipway.cli.train import doubt, news
from shipway.client import Journey
from shipway.contract.events import Gate, ModelApproved

HOSTILE = "carrier=[/red]: worse by 0.1"
BEFORE = Journey("r", "flights", "trained", version=3)


def approved(hold: str) -> Journey:
    gate = Gate(name="slices", passed=True, figure=None, limit=None, reason=HOSTILE)
    event = ModelApproved(
        model="flights",
        version=3,
        digest="d",
        request_id="r",
        gates=[gate],
        metrics={"auc": 0.7},
        champion_version=None,
        champion_metrics={},
        signature={},
        release={},
        prediction_log={},
        hold=hold,
    )
    return BEFORE.after(event)


@pytest.mark.parametrize("hold", ["", "its parameters were found by a search"])
def test_a_hold_is_said_with_what_ends_it(hold: str) -> None:
    journey = approved(hold)
    lines = [line.plain for line in news(BEFORE, journey)]
    assert lines[1] == f"          passed slices: {HOSTILE}"
    assert lines[2:] == ([f"held      {hold}; shipway approve flights"] if hold else [])
    assert news(journey, journey) == []


def test_a_reason_from_outside_is_shown_as_it_is() -> None:
    rejected = replace(BEFORE, state="rejected", reason=HOSTILE)
    (line,) = news(BEFORE, rejected)
    assert line.plain == f"rejected  {HOSTILE}"


def test_a_name_that_nobody_declared_is_doubted_with_the_one_that_may_be_meant() -> None:
    assert doubt("houses", ["houses"]) is None and doubt("house", None) is None
    assert doubt("house", ["flights", "houses"]) == "the monitor knows of no model 'house' yet; did you mean 'houses'?"
    assert (
        doubt("zoo", ["flights"]) == "the monitor knows of no model 'zoo' yet; shipway model declare FILE declares it"
    )
