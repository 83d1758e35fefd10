"""Which event begins and ends which phase, and what does not count."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract import events as e
from shipway.monitor.phases import Mark, marks, seen_by_all

T0 = datetime(2026, 1, 1, tzinfo=UTC)
JUDGED: dict[str, Any] = {
    "model": "m",
    "version": 7,
    "digest": "d",
    "request_id": "r",
    "gates": [],
    "metrics": {},
    "champion_version": None,
    "champion_metrics": {},
}
APPROVED: dict[str, Any] = JUDGED | {"signature": {}, "release": {}, "prediction_log": {}}
RELEASE: dict[str, Any] = {"model": "m", "version": 7, "release_id": "m-7", "generation": 3, "reason": ""}


def failed(reason: str) -> e.TrainingFailed:
    return e.TrainingFailed(model="m", request_id="r", stage="train", reason=reason, attempts=3)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (
            e.TrainingRequested(model="m", request_id="r"),
            [Mark("accepted", "r", "begun"), Mark("serving", "r", "begun")],
        ),
        (
            e.SearchRequested(model="m", request_id="s"),
            [Mark("accepted", "s", "begun"), Mark("trained", "s", "never")],
        ),
        (
            e.TrainingAccepted(model="m", request_id="r"),
            [Mark("accepted", "r", "ended"), Mark("trained", "r", "begun")],
        ),
        (failed("no memory"), [Mark("trained", "r", "failed"), Mark("serving", "r", "void")]),
        (failed("cancelled by ann"), [Mark("trained", "r", "void"), Mark("serving", "r", "void")]),
        (e.ModelApproved(**APPROVED), [Mark("judged", "7", "ended"), Mark("released", "7", "begun")]),
        (e.ModelApproved(**APPROVED, hold="a search"), [Mark("judged", "7", "ended"), Mark("serving", "r", "void")]),
        (e.ModelRejected(**JUDGED, reason="auc"), [Mark("judged", "7", "ended"), Mark("serving", "r", "void")]),
        (e.ReleasePromoted(**RELEASE, digest="d", previous_version=None), [Mark("seen", "7", "begun", 3)]),
        (
            e.RetirementDeferred(model="m", version=7, reason="it answers"),
            [Mark("retired", "7", "void"), Mark("deferred", "7", "begun")],
        ),
        (e.ReleaseSuperseded(model="m", version=7, release_id="m-7", by_version=8), [Mark("released", "7", "void")]),
        (e.CommandAnswered(model="m", command_id="c", action="pin", version=7, done=True, answer=""), []),
    ],
)
def test_an_event_leaves_its_marks(event: e.Event, found: list[Mark]) -> None:
    assert marks(event) == found


SAID = st.lists(st.dictionaries(st.sampled_from("mn"), st.integers(0, 5)), max_size=4)


@given(instances=SAID, gateways=SAID, generation=st.integers(1, 5))
def test_a_promotion_is_seen_by_all_when_the_last_one_goes_by_it(
    instances: list[dict[str, int]], gateways: list[dict[str, int]], generation: int
) -> None:
    seen = seen_by_all("m", generation, instances, gateways)
    behind = [said for said in instances + gateways if said.get("m", 0) < generation]
    assert seen == (instances != [] and behind == [])
    assert not seen or seen_by_all("m", generation, instances, []), "a gateway more never makes it seen"
