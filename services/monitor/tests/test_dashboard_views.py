"""The pure modules behind the pages: health, the drawing, the timeline, plots, comparison, sentences, figures."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import eventfuzz
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract import events as e
from shipway.contract.events import EVENT_TYPES
from shipway.contract.signature import Feature, Signature
from shipway.monitor.bins import cells_of, make_bins
from shipway.monitor.dashboard import charts, drifts, figures, flow, reports, series, sides, timeline, versus, wording
from shipway.monitor.dashboard.health import Facts, health_of
from shipway.monitor.dashboard.overview import ready
from shipway.monitor.dashboard.stream import Stream
from shipway.monitor.quality import Quality
from shipway.monitor.summary import LATENCIES, Summary
from shipway.runtime.database import Database

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def alert(severity: str, **changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": "drift", "subject": "hour", "version": 3, "acked_by": None, "silenced": False}
    return told | {"severity": severity} | changes


@pytest.mark.parametrize(
    ("facts", "state", "says"),
    [
        (Facts(None), "idle", "no version serves yet"),
        (Facts(None, failed_request="no rows"), "attention", "no rows"),
        (Facts(3, ready=0, instances=2), "broken", "ready on none of 2 instances"),
        (Facts(3, ready=2, instances=2, degraded=True), "broken", "broke its service level"),
        (Facts(3, ready=2, instances=2, alerts=[alert("warning"), alert("critical")]), "broken", "drift of hour"),
        (Facts(3, ready=2, instances=2, alerts=[alert("warning")] * 3), "attention", "and 2 more"),
        (Facts(3, ready=2, instances=2, alerts=[alert("critical", acked_by="ann")]), "healthy", "looked after"),
        (Facts(3, ready=2, instances=2, alerts=[alert("critical", silenced=True)]), "healthy", "looked after"),
        (Facts(3, ready=1, instances=2), "attention", "1 of 2"),
        (Facts(3, ready=2, instances=2, waiting=[4]), "attention", "version 4 waits for approval"),
        (Facts(3, ready=2, instances=2, frozen=True), "attention", "frozen"),
        (Facts(3, ready=2, instances=2), "healthy", "as usual"),
    ],
)
def test_health_is_the_first_thing_that_is_wrong(facts: Facts, state: str, says: str) -> None:
    found = health_of(facts)
    assert (found.state, says in found.reason) == (state, True), found


def test_an_instance_of_an_image_counts_for_the_version_that_it_brings_and_no_other() -> None:
    def instance(only: list[str] | None, *versions: tuple[int, str], present: bool = True) -> dict[str, Any]:
        held = [{"model": "m", "version": version, "state": state} for version, state in versions]
        return {"present": present, "only": only, "versions": held}

    ordinary = [instance(None, (3, "ready")), instance(None), instance(None, (3, "ready"), present=False)]
    assert ready(ordinary, "m", 3) == {"ready": 1, "instances": 2}
    assert ready([*ordinary, instance(["a"]), instance(["a"], (2, "ready"))], "m", 3) == {"ready": 1, "instances": 2}
    images = [instance(["a"], (3, "ready")), instance(["a"], (3, "failed"))]
    assert ready([*ordinary, *images], "m", 3) == {"ready": 2, "instances": 4}


def version(number: int, state: str, **changes: Any) -> dict[str, Any]:
    gates = [{"passed": True}, {"passed": state != "rejected"}]
    return {"version": number, "state": state, "gates": gates, "share": 0.1, "reason": "why", "metrics": {}} | changes


def request(state: str) -> dict[str, Any]:
    return {"state": state, "stage": "train", "fraction": 0.5, "message": "tree 50", "reason": "nightly", "version": 3}


@pytest.mark.parametrize(
    ("asked", "newest", "rollout", "states"),
    [
        (None, None, None, ["idle", "idle", "idle", "idle"]),
        (request("requested"), None, None, ["active", "idle", "idle", "idle"]),
        (request("accepted"), None, None, ["done", "waiting", "idle", "idle"]),
        (request("training"), version(2, "champion"), None, ["done", "active", "done", "done"]),
        (request("failed"), version(2, "champion"), None, ["done", "failed", "done", "done"]),
        (request("trained"), version(3, "trained"), None, ["done", "done", "active", "idle"]),
        (request("trained"), version(3, "rejected"), None, ["done", "done", "failed", "idle"]),
        (request("trained"), version(3, "approved"), None, ["done", "done", "done", "waiting"]),
        (request("trained"), version(3, "canary"), version(3, "canary"), ["done", "done", "done", "active"]),
        (request("trained"), version(3, "rolled_back"), None, ["done", "done", "done", "failed"]),
    ],
)
def test_the_way_says_where_a_version_is(asked: Any, newest: Any, rollout: Any, states: list[str]) -> None:
    steps = flow.steps_of(asked, newest, rollout, 2 if newest else None, 1.5, 0)
    assert [step.state for step in steps[:4]] == states
    assert [step.title for step in steps] == list(flow._TITLES)


@pytest.mark.parametrize("tall", [False, True])
def test_boxes_of_the_drawing_lie_within_it_and_apart(tall: bool) -> None:
    drawn = flow.drawing(flow.steps_of(None, None, None, None, None, 2), tall=tall)
    assert len(drawn.boxes) == 6 and len(drawn.links) == 5
    for box in drawn.boxes:
        assert box.x >= 0 and box.x + box.width <= drawn.width
        assert box.y >= 0 and box.y + box.height <= drawn.height
    for a, b in pairwise(drawn.boxes):
        assert (b.y >= a.y + a.height) if tall else (b.x >= a.x + a.width)
    assert "2 open alerts" in drawn.words


def turn(number: int, name: str, hours: float, **payload: Any) -> dict[str, Any]:
    at = NOW - timedelta(hours=hours)
    return {"version": number, "type": f"shipway.{name}.v1", "at": at, "payload": payload}


def test_a_champion_is_followed_by_the_next_and_comes_back_when_that_fails() -> None:
    told = [
        turn(1, "TrainingCompleted", 10),
        turn(1, "ModelApproved", 9),
        turn(1, "ReleasePromoted", 8),
        turn(2, "TrainingCompleted", 6),
        turn(2, "ReleaseProgressed", 5, to_state="canary"),
        turn(2, "ReleaseProgressed", 4.5, to_state="canary"),
        turn(2, "ReleasePromoted", 4),
        turn(2, "ReleaseRolledBack", 2, champion_version=1),
    ]
    found = timeline.timeline(told, NOW)
    assert [lane.version for lane in found.lanes] == [2, 1]
    states = {lane.version: [bar.state for bar in lane.bars] for lane in found.lanes}
    assert states == {
        1: ["trained", "approved", "champion", "last_good", "champion"],
        2: ["trained", "canary", "champion", "rolled_back"],
    }
    assert found.ticks[0].left == 0 and found.ticks[-1].left == 1


turns = st.lists(
    st.builds(
        turn,
        st.integers(1, 4),
        st.sampled_from([kind.split(".")[1] for kind in timeline.TYPES]),
        st.floats(0, 1000),
        to_state=st.sampled_from(["loading", "canary", "active"]),
        champion_version=st.one_of(st.none(), st.integers(1, 5)),
    ),
    max_size=12,
)


@given(turns)
def test_whatever_was_told_bars_lie_within_the_time(told: list[dict[str, Any]]) -> None:
    found = timeline.timeline(sorted(told, key=lambda one: one["at"]), NOW)
    for lane in found.lanes:
        for bar in lane.bars:
            assert 0 <= bar.left < 1 and 0 < bar.width <= 1.01, bar
        for a, b in pairwise(lane.bars):
            assert a.left <= b.left


def row(number: int, outcome: str, count: int, minutes: int, us: float = 0.0) -> Any:
    at = NOW.replace(second=0) - timedelta(minutes=minutes)
    return SimpleNamespace(version=number, outcome=outcome, number=count, at=at, latency_us=us)


def test_traffic_is_by_the_second_and_the_small_ones_are_one_line() -> None:
    rows = [row(v, "answered", 60 * v, 1) for v in range(1, 10)] + [row(9, "failed", 3, 2)]
    answered, troubled = series.traffic(rows, NOW - timedelta(minutes=5), NOW, timedelta(minutes=1))
    assert [one.label for one in answered.series] == [f"version {v}" for v in range(9, 3, -1)] + ["others"]
    assert answered.series[0].values[-2] == 9.0 and answered.series[-1].values[-2] == 6.0
    assert sum(v or 0 for v in troubled.series[0].values) == 3
    shown = json.loads(answered.data)
    assert {len(column) for column in shown["data"]} == {len(answered.at)}
    assert "version 9: 0 at the end" in answered.words


def test_latency_and_quality_have_gaps_where_nothing_is_known() -> None:
    begin, width = NOW - timedelta(minutes=5), timedelta(minutes=1)
    plot = series.latency([row(1, "answered", 4, 2, 4000.0)], begin, NOW, width)
    assert [v for v in plot.series[0].values if v is not None] == [1000.0]
    at = NOW.replace(second=0) - timedelta(minutes=2)
    queries = Quality(10, 2.0, 1.0)  # a ranking's, of which another has rows that are all alike
    queries.ripen(20, timedelta(0))
    loss, coverage = series.quality({(1, at): queries}, {(1, at): 80}, begin, NOW, width)
    assert [v for v in loss.series[0].values if v is not None] == [0.2]
    assert [v for v in coverage.series[0].values if v is not None] == [0.25]
    assert series.quality({}, {}, begin, NOW, width)[0].empty


def counted(**at: int) -> Any:
    counts = np.zeros(LATENCIES, np.int64)
    for place, number in at.items():
        counts[int(place[1:])] = number
    return counts


def test_percentiles_are_of_all_answers_of_a_part_and_of_the_newest_versions_each() -> None:
    begin, width = NOW - timedelta(minutes=20), timedelta(minutes=10)
    at = NOW.replace(second=0) - timedelta(minutes=10)
    counts = {
        (1, at): counted(_20=500, _30=1),
        (1, at + timedelta(minutes=5)): counted(_20=389, _30=10),
        (2, at): counted(_20=100),
        (7, at): counted(_10=1),
        (8, at): counted(_10=1),
    }
    plot = series.percentiles(counts, begin, NOW, width)
    lines = [f"{of}, {name}" for of in ("version 8", "version 7", "others") for name in ("p50", "p99")]
    assert [one.label for one in plot.series] == lines
    assert [one.dashed for one in plot.series] == [False, True] * 3
    half, slow = ([v for v in one.values if v is not None] for one in plot.series[-2:])
    assert half == [pytest.approx(2 ** ((19 + 500 / 989) / 2))]
    assert slow == [pytest.approx(2 ** ((29 + 1 / 11) / 2))], "11 of 1,000 were slow, in both slots together"
    assert series.percentiles({}, begin, NOW, width).empty


def test_versions_are_compared_where_chance_can_be_told_apart() -> None:
    good, bad = Quality(1000, 100.0, 20.0), Quality(1000, 300.0, 120.0)
    rows = [version(1, "champion", metrics={"auc": 0.8, "log_loss": 0.5}), version(2, "canary", metrics={"auc": 0.7})]
    served = versus.services([row(1, "answered", 90, 1, 900.0), row(1, "failed", 10, 1), row(2, "answered", 5, 1, 1e4)])
    found = {line.name: line for line in versus.lines(rows, served, {1: good, 2: bad}, {1: counted(_20=100)}, {})}
    assert found["p99 latency"].texts == ["1.02 ms", "–"]
    assert found["failed"].texts == ["10 %", "0 %"] and found["failed"].better is None
    assert found["loss by labels"].better == 0
    assert found["auc when judged"].better == 0
    assert found["log_loss when judged"].better is None, "the other has none"
    same = {line.name: line for line in versus.lines(rows, served, {1: good, 2: good}, {}, {})}
    assert same["loss by labels"].better is None
    few = {line.name: line for line in versus.lines(rows, served, {1: Quality(5, 1.0, 1.0), 2: bad}, {}, {})}
    assert "p99 latency" not in few
    assert few["loss by labels"].better is None


def test_rankings_of_other_numbers_of_best_rows_stand_beside_each_other_and_neither_is_better() -> None:
    good, bad = Quality(1000, 100.0, 20.0), Quality(1000, 300.0, 120.0)
    rows = [version(1, "champion", metrics={"ndcg": 0.8}), version(2, "canary", metrics={"ndcg": 0.7})]
    of = {number: versus.lines(rows, {}, {1: good, 2: bad}, {}, {1: 10, 2: number}) for number in (10, 5)}
    same, other = ({line.name: line.better for line in lines if "answers" not in line.name} for lines in of.values())
    assert (same["loss by labels"], same["ndcg when judged"]) == (0, 0)
    apart = [other[f"{name} (by NDCG@10, NDCG@5)"] for name in ("loss by labels", "ndcg when judged")]
    assert apart == [None, None]


def test_two_versions_are_compared_gate_by_gate_and_slice_by_slice() -> None:
    def judged(content: str, auc: float, *slices: tuple[str, float]) -> dict[str, Any]:
        listed = [{"column": "k", "value": value, "figure": figure} for value, figure in slices]
        return {"data": {"windows": {"holdout": {"content": content}}}, "slices": listed}

    gate = {"name": "floor", "passed": True, "figure": 0.8, "limit": 0.7}
    rows = [version(1, "champion", gates=[gate]), version(2, "rejected", gates=[gate | {"passed": False}])]
    found = sides.sides(rows, [judged("x", 0.8, ("a", 0.5), ("b", 0.4)), judged("y", 0.7, ("a", 0.6))])
    assert [(one.name, one.passed, one.texts) for one in found.gates] == [("floor", (True, False), ("0.8", "0.8"))]
    assert [(one.name, one.texts) for one in found.slices] == [
        ("k = a", ("0.5", "0.6", "+0.1")),
        ("k = b", ("0.4", "–", "–")),
    ]
    assert found.same_holdout is False
    same = judged("x", 0.8)
    assert sides.sides(rows, [same, same]).same_holdout is True
    odd_ones: tuple[object, ...] = (
        None,
        [],
        {"slices": {"a": 1}, "data": {"windows": 3}},
        {"slices": [1, {"figure": "high"}]},
    )
    for odd in odd_ones:
        assert sides.sides(rows, [odd, same]).same_holdout is None


def test_drift_shows_both_histograms_and_what_waits() -> None:
    rng = np.random.default_rng(1)
    categories = Feature(name="k", type="category", categories=["a", "b"])
    signature = Signature(
        features=[Feature(name="x", type="number"), categories], output="binary", target="y", classes=["0", "1"]
    )
    rows = np.column_stack([rng.normal(size=1000), rng.integers(0, 2, 1000)])
    bins = make_bins(signature, rows, rng.random((1000, 1)))
    window = Summary(answered=100, rows=100)
    window.cells = np.concatenate(
        [cells_of(column, rows[:100, i] + (9 if i == 0 else 0)) for i, column in enumerate(bins.features)]
    )
    judged = {"subject": "x", "state": "drift", "alarm": True, "figure": 0.9, "limit": 0.1, "reason": "moved"}
    found = drifts.features([judged | {"recent": [{"figure": None}, {"figure": 0.9}]}], bins, window)
    assert [one.name for one in found] == ["x", "score", "k"]
    assert max(found[0].cells, key=lambda cell: cell.seen).words.endswith("and above")
    assert [cell.words for cell in found[2].cells] == ["category 1", "category 2"]
    assert all(cell.seen == 0 for cell in found[1].cells), "no score was counted"
    assert drifts.features([], None, None) == []


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_event_has_a_sentence(kind: str) -> None:
    payload: dict[str, Any] = msgspec.to_builtins(eventfuzz.golden(kind).payload)
    assert wording.sentence(kind, payload).strip()
    assert wording.sentence(kind, {}) is not None, "an older release may have said less"
    assert wording.tone(kind, payload) in ("good", "bad", "plain")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (figures.count(1234), "1,234"),
        (figures.count(2_500_000), "2.5M"),
        (figures.count(None), "–"),
        (figures.share(0.0345), "3.45 %"),
        (figures.share(0.00123), "0.12 %"),
        (figures.share(1.0), "100 %"),
        (figures.per_second(0.5), "0.5/s"),
        (figures.per_second(1234.0), "1,234/s"),
        (figures.latency(900), "900 µs"),
        (figures.latency(12_300), "12.3 ms"),
        (figures.size(2_340_000), "2.34 MB"),
        (figures.ago(NOW - timedelta(minutes=5), NOW), "5 min ago"),
        (figures.ago(NOW - timedelta(days=3), NOW), "3 d ago"),
        (figures.ago(NOW + timedelta(seconds=9), NOW), "just now"),
    ],
)
def test_figures_read_well(shown: str, text: str) -> None:
    assert shown == text


documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                [
                    "gates",
                    "curves",
                    "roc",
                    "calibration",
                    "bins",
                    "predicted",
                    "observed",
                    "slices",
                    "figure",
                    "better_by",
                    "training",
                    "importance_gain",
                    "data",
                    "windows",
                    "single_features",
                    "a",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=25,
)


@given(documents)
def test_a_report_of_any_shape_is_shown_or_left_out(document: Any) -> None:
    found = reports.report(document | {"gates": []} if isinstance(document, dict) else document)
    assert all(curve.paths for curve in found.curves)


def test_a_range_fits_what_there_is() -> None:
    assert charts.fitting(None, NOW) == charts.fitting(NOW - timedelta(hours=1), NOW) == "3 h"
    assert charts.fitting(NOW - timedelta(hours=9), NOW) == "24 h"
    assert charts.fitting(NOW - timedelta(days=300), NOW) == "7 d"


async def test_open_pages_are_told_of_a_change_and_let_go_at_the_end(
    database: Database, put: Callable[..., Awaitable[None]]
) -> None:
    stream = Stream(database, every_s=0.02)
    page = stream.listen()
    assert await anext(page) == b"retry: 3000\n\n"
    heard = asyncio.ensure_future(anext(page))
    while not stream.looked:
        await asyncio.sleep(0)
    await put(e.TrainingRequested(model="m", request_id="r1"))
    assert (await asyncio.wait_for(heard, 10)).startswith(b"event: changed")
    await stream.end()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(page), 10)
    assert stream._looking is None, "with no page open nobody looks"
