"""A journey by its events: a training that fails is run again; a search ends with what it found."""

from shipway.client import Journey
from shipway.contract import events as e

ASKED = Journey("r", "m")


def follow(*events: e.Payload) -> list[Journey]:
    """The journey after each of the events."""
    steps = [ASKED]
    for event in events:
        steps.append(steps[-1].after(event))
    return steps


def test_a_training_that_failed_goes_on_when_it_is_run_again() -> None:
    failed = e.TrainingFailed(model="m", request_id="r", stage="train", reason="why", attempts=1)
    accepted = e.TrainingAccepted(model="m", request_id="r")
    progress = e.TrainingProgressed(model="m", request_id="r", stage="train", fraction=0.5)
    steps = follow(accepted, progress, failed, accepted, progress)
    assert [s.state for s in steps] == ["requested", "accepted", "training", "failed", "accepted", "training"]
    assert (steps[3].ended, steps[3].reason, steps[4].ended, steps[5].reason) == (True, "why", False, "")


def test_a_search_ends_with_what_it_found() -> None:
    found = e.FoundParameters(request_id="r.1", params={"num_leaves": 9}, figure=0.72)
    over = e.SearchCompleted(
        model="m", request_id="r", trials=9, pruned=2, metric="auc", baseline=0.7, candidates=[found], duration_s=3.0
    )
    last = follow(e.TrainingAccepted(model="m", request_id="r"), over)[-1]
    assert (last.state, last.ended, last.succeeded) == ("searched", True, True)
    assert (last.candidates, last.metric, last.baseline) == ((found,), "auc", 0.7)
    assert last.after(e.TrainingAccepted(model="m", request_id="r")) is last
