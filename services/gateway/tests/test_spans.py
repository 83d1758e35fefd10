"""Which predictions are told of as spans: a share of all, and the first of each version, in the trace that made it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from shipway.contract.envelope import Envelope
from shipway.contract.events import DesiredState
from shipway.gateway.asked import Asked
from shipway.gateway.routing import Route
from shipway.gateway.spans import PredictionSpans
from shipway.runtime import trace
from shipway.runtime.trace import Span

RELEASE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROUTE = Route("m", 1, "champion", 1, 1.0, (), cast(Any, None))


@pytest.fixture
def told() -> Iterator[list[Span]]:
    spans: list[Span] = []
    trace.export_to(spans.append)
    yield spans
    trace.export_to(None)


def desired(traceparent: str | None = RELEASE) -> dict[str, Envelope]:
    state = DesiredState(model="m", generation=1, versions=[], traffic=[])
    return {"m": Envelope("m-1", "shipway/releaser", datetime(2026, 1, 1, tzinfo=UTC), state, traceparent)}


def asked(traceparent: str | None = None, route: Route = ROUTE) -> Asked:
    made = Asked(route.model, traceparent.encode() if traceparent else None, 1.0)
    made.route = route
    made.ids = ["a", "b"]
    return made


def test_the_first_answer_of_each_version_is_in_the_trace_of_its_release(told: list[Span]) -> None:
    spans = PredictionSpans(0.0, desired())
    client = RELEASE.replace("4bf9", "ffff")
    first = asked(client)
    for one in (first, asked(client), asked(client, replace(ROUTE, version=2)), asked(client)):
        spans.answered(one)
    assert [(s.name, s.attributes["version"]) for s in told] == [
        ("predict", 1),
        ("first prediction", 1),
        ("predict", 2),
        ("first prediction", 2),
    ]
    predict, in_release, *_ = told
    assert (predict.traceparent, predict.parent, predict.attributes["rows"]) == (first.span, client, 2)
    assert trace.trace_id(in_release.traceparent) == trace.trace_id(RELEASE)
    assert (in_release.parent, in_release.links) == (RELEASE, (first.span,))
    assert 0 <= predict.ended_ns - predict.begun_ns < 10**9


@pytest.mark.parametrize("sample", [0.0, 0.25, 1.0])
def test_a_share_is_told(told: list[Span], sample: float) -> None:
    spans = PredictionSpans(sample, {})
    spans.answered(asked())
    told.clear()
    for _ in range(4000):
        spans.answered(asked())
    assert abs(len(told) / 4000 - sample) <= (0.04 if 0 < sample < 1 else 0)


def test_a_client_that_samples_nothing_is_heard_and_one_without_a_trace_is_a_root(told: list[Span]) -> None:
    spans = PredictionSpans(1.0, {})
    spans.answered(asked(f"{RELEASE[:-2]}00"))
    assert not told
    spans.answered(asked("garbage"))
    assert [s.parent for s in told] == [None]
