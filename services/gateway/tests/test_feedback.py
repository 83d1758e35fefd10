"""Labels over REST: one or many, in events that each fit onto Kafka."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shipway.contract.envelope import Envelope, encode
from shipway.contract.events import Label, LabelsReceived
from shipway.gateway.feedback import EVENT_LABELS, Feedback, parts

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def label(prediction_id: str = "p", value: Any = True) -> Label:
    return Label(prediction_id=prediction_id, label=value, observed_at=NOW)


def test_one_and_many_are_taken_and_what_is_neither_is_refused() -> None:
    one = Feedback.model_validate({"model": "m", "prediction_id": "p", "label": False})
    assert one.every(NOW) == [label("p", False)]
    many = Feedback.model_validate({"model": "m", "labels": [{"prediction_id": "p", "label": "a"}] * 2})
    assert many.every(NOW) == [label("p", "a")] * 2
    wrong: list[dict[str, Any]] = [{}, {"label": 1}, {"prediction_id": "p"}, {"labels": []}]
    wrong += [{"labels": [{"prediction_id": "p", "label": 1}], "prediction_id": "p"}]
    wrong += [{"labels": [{"prediction_id": "p"}]}, {"labels": [{"prediction_id": "p", "label": 1}] * 10_001}]
    for body in wrong:
        with pytest.raises(ValidationError):
            Feedback.model_validate({"model": "m"} | body)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=64), st.sampled_from(["", "x", "\x01" * 1000, "é" * 1000]))))
def test_parts_hold_every_label_in_order_and_fit_into_an_event(pairs: list[tuple[str, str]]) -> None:
    labels = [label(name.encode("ascii", "replace").decode(), text) for name, text in pairs]
    found = list(parts(labels)) if labels else []
    assert [one for part in found for one in part] == labels
    assert all(found)


def test_the_largest_parts_fit_into_an_event() -> None:
    for worst in (label("\x01" * 64, "\x01" * 1000), label("\x01" * 64), label("\x01" * 64, 1.0)):
        found = list(parts([worst] * 3000))
        assert sum(map(len, found)) == 3000 and max(map(len, found)) <= EVENT_LABELS
        for part in found:
            event = Envelope("e", "s", NOW, LabelsReceived(model="m" * 63, labels=part))
            assert len(encode(event).value or b"") < LabelsReceived.max_bytes
