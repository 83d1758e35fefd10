"""The loop: from a training request to served predictions, on every kind of target, and a swap under traffic."""

import asyncio
import io
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import lightgbm
import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import read_json, shipway
from otlp import Collector
from world import IN_A_QUERY, T0, World, eventually, features_of, finite, make_rows, problem

from shipway.bundle.store import read_bundle
from shipway.cli.traffic import Traffic
from shipway.client import KnownLabel, Predictions, Refused
from shipway.client.registry import collect
from shipway.contract import events as e
from shipway.contract.rowencoding import RowEncoder

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "ranking"])
async def test_a_request_ends_in_predictions(shipway_world: World, kind: str) -> None:
    model = f"first-{kind}"
    await shipway_world.declare(model, kind)
    journey = await shipway_world.train(model)
    assert journey.succeeded, journey
    assert journey.version == 1
    assert all(gate.passed and gate.reason for gate in journey.gates)
    rows = [features_of(row) for row in make_rows(kind, n=50, seed=9)]
    answer = await shipway_world.shipway.predict(model, rows)
    assert (answer.model, answer.version) == (model, 1)
    assert len({p.id for p in answer.predictions}) == 50
    truth = [row["y"] for row in make_rows(kind, n=50, seed=9)]
    if kind == "ranking":
        await as_lightgbm_ranks(shipway_world, model, rows, answer)
        await a_ranking_lives_on_its_labels(shipway_world, model)
    elif kind == "regression":
        errors = [
            abs(p.value - y)
            for p, y in zip(answer.predictions, truth, strict=True)
            if y is not None and p.value is not None
        ]
        assert len(errors) > 40
        assert sum(errors) / len(errors) < 1.5
    else:
        names = [str(y).lower() if isinstance(y, bool) else y for y in truth]
        right = [p.label == y for p, y in zip(answer.predictions, names, strict=True) if y is not None]
        assert sum(right) > 0.75 * len(right)
    if kind == "multiclass":
        chances = answer.predictions[0].probabilities
        assert chances is not None and set(chances) == {"low", "middle", "high"}
        assert abs(sum(chances.values()) - 1) < 1e-6
    if kind == "binary":
        assert finite(answer.predictions[0].probability)
    [explained] = (await shipway_world.shipway.predict(model, rows[:1], explain=True)).predictions
    told, base = explained.contributions, explained.base
    assert told is not None
    if kind == "multiclass":
        assert chances is not None
        assert {name: set(found) for name, found in told.items()} == {name: set(rows[0]) for name in chances}
    else:
        assert set(told) == set(rows[0]) and isinstance(base, float)
        raw = base + sum(told.values())
        wanted = {"regression": explained.value, "ranking": explained.score}.get(kind, explained.probability)
        assert wanted == pytest.approx(1 / (1 + math.exp(-raw)) if kind == "binary" else raw)


async def as_lightgbm_ranks(world: World, model: str, rows: list[dict[str, Any]], answer: Predictions) -> None:
    """Holds answers against the bundle's own model: scores are what LightGBM gives, ranks the order of them."""
    told = await world.event(e.ModelApproved, model=model)
    bundle = read_bundle(world.store, told.digest)
    encoded = np.array(RowEncoder(bundle.signature).encode(rows))
    scores = lightgbm.Booster(model_str=bundle.model_text.decode()).predict(encoded)
    assert [p.score for p in answer.predictions] == np.asarray(scores).tolist()
    best_first = sorted(answer.predictions, key=lambda p: -(p.score or 0.0))
    assert [p.rank for p in best_first] == list(range(1, len(rows) + 1))
    assert told.metrics["ndcg"] > 0.8


async def a_ranking_lives_on_its_labels(world: World, model: str) -> None:
    """Labels of its rows become quality by query, its next training set, and what a search goes by."""
    client, rows = world.shipway, make_rows("ranking", 80 * IN_A_QUERY, seed=5)
    asked_at, labels = list[datetime](), list[KnownLabel]()
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        asked_at.append(datetime.now(UTC))
        for begin in range(0, len(half), IN_A_QUERY):
            seen = half[begin : begin + IN_A_QUERY]
            names = [f"ann/{row['query']}/{n}" for n, row in enumerate(seen)]
            answer = await client.predict(model, [features_of(row) for row in seen], client_ids=names)
            labels += [
                KnownLabel(one.id, float(row["y"] or 0)) for one, row in zip(answer.predictions, seen, strict=True)
            ]
    until = datetime.now(UTC)
    await client.feedback_many(model, labels[1:])

    async def judged() -> dict[str, Any] | None:
        found = await client.quality(model)
        filed = sum(file["rows"] for file in found["files"])
        return found if filed == len(labels) - 1 and not found["counts"]["waiting"] else None

    found = await eventually(judged, "every label has found its prediction, and is filed")
    assert found is not None
    [version], counts = found["versions"], found["counts"]
    shown = await shipway(world, "quality", model)
    assert "queries" in shown and f"ndcg {version['metrics']['ndcg']:.4f}" in shown, shown
    assert (counts["partial"], version["queries"]) == (1, 80 - 1 - counts["alike"]), "one label lacks"
    assert version["labelled"] == (80 - 1) * IN_A_QUERY
    holdout = (await world.event(e.ModelApproved, model=model)).metrics["ndcg"]
    assert version["metrics"]["ndcg"] == pytest.approx(holdout, abs=0.1)
    assert version["loss"]["low"] < 1 - version["metrics"]["ndcg"] < version["loss"]["high"]

    lasted = f"{(until - asked_at[1]).total_seconds() * 1000:.3f}ms"
    lived = {"source": "history", "time_column": "at", "train": "1h", "holdout": lasted, "query_column": "query"}
    own: dict[str, Any] = {"data": lived, "labels": {"mature_after": "0s"}}
    own |= {"gates": {"max_regression": 0.5, "stability_runs": 0}, "search": {"trials": 2}}
    await world.declare(model, "ranking", **own)
    journey = await world.train(model, until=until)
    assert journey.succeeded and journey.training_rows == 40 * IN_A_QUERY - 1, journey
    report = await client.report(model, 2)
    assert report["holdout"]["rows"] == 40 * IN_A_QUERY and 30 < report["holdout"]["queries"] <= 40
    search = [told async for told in client.search(model, until=until)][-1]
    assert search.state == "searched" and search.baseline is not None, search
    [candidate] = search.candidates
    completed = await world.event(e.TrainingCompleted, model=model, request_id=candidate.request_id)
    assert completed.origin == "search" and completed.metrics["ndcg"] == pytest.approx(candidate.figure)
    await world.event(e.ModelApproved, model=model, version=completed.version)


async def test_a_swap_under_traffic_fails_no_request_and_loses_no_record(shipway_world: World) -> None:
    """With a shadow before the canary: it is compared by real copies, and nobody but the record sees its answers."""
    model = "swap"
    shadow: dict[str, Any] = {"release__shadow": 1.0, "release__shadow_for": "300ms", "release__min_requests": 5}
    await shipway_world.declare(model, **shadow)
    first = await shipway_world.train(model, until=datetime(2026, 2, 20, tzinfo=T0.tzinfo))
    assert first.succeeded, first
    rows = [features_of(row) for row in make_rows("binary", n=200, seed=3)]
    traffic = Traffic(shipway_world.gateway, model, rows, per_second=80)
    sending = asyncio.create_task(traffic.run())
    second = await shipway_world.train(model)
    assert second.succeeded, second
    assert (second.version, second.champion_version) == (2, 1)

    async def new_version_answers() -> bool:
        return traffic.counts.answered[2] > 20

    await eventually(new_version_answers, "version 2 answers")
    traffic.stop()
    await sending
    assert traffic.counts.failures == 0, traffic.counts
    assert set(traffic.counts.answered) == {1, 2}

    async def accounted() -> bool:
        versions = (await shipway_world.shipway.usage(model))["versions"]
        return {int(v): u["answered"] for v, u in versions.items() if u["answered"]} == dict(traffic.counts.answered)

    await eventually(accounted, "every answer is in the prediction log, by version")
    dropped = [
        await shipway_world.metric(p, "shipway_predictions_dropped_total") for p in ("predictor-1", "predictor-2")
    ]
    assert dropped == [0, 0]
    await shipway_world.all_in_history(model)
    told = shipway_world.recorder.payloads(e.ReleaseProgressed, model=model, version=2)
    assert [x.to_state for x in told] == ["loading", "shadow", "canary", "active"]
    assert told[2].by == "rule shadow" and told[2].figures["distance_count"] >= 5, told[2]


async def test_one_trace_runs_from_the_request_to_the_champion(shipway_world: World, served: str) -> None:
    chain = (e.TrainingRequested, e.TrainingCompleted, e.ModelApproved, e.ModelReleased, e.ReleasePromoted)
    for kind in chain:
        await shipway_world.event(kind, model=served)
    traces: dict[type[e.Payload], set[str]] = {}
    for event in shipway_world.recorder.envelopes():
        if getattr(event.payload, "model", None) == served and event.traceparent:
            traces.setdefault(type(event.payload), set()).add(event.traceparent.split("-")[1])
    assert len(set().union(*(traces[kind] for kind in chain))) == 1, traces


async def test_its_spans_lead_from_the_first_prediction_back_to_the_request(
    shipway_world: World, served: str, collector: Collector
) -> None:
    """As OpenTelemetry's own messages have them, over HTTP."""
    await shipway_world.shipway.predict(served, [features_of(make_rows("binary", 1)[0])])
    (asked,) = {
        event.traceparent
        for event in shipway_world.recorder.envelopes()
        if isinstance(event.payload, e.TrainingRequested) and event.payload.model == served and event.traceparent
    }
    _, trace_id, sent, _ = asked.split("-")
    stages = ("get-data", "clean", "preprocess", "train", "evaluate", "build", "record")
    wanted = {("trainer", f"stage {stage}") for stage in stages}
    wanted |= {("evaluator", "judging"), ("releaser", "release: approved to loading"), ("predictor", "load")}
    wanted |= {("gateway", "first prediction"), ("monitor", "process shipway.ReleasePromoted.v1")}

    async def told() -> bool:
        return wanted <= {(span.service, span.name) for span in collector.of_trace(trace_id)}

    await eventually(told, f"{wanted} are among the spans")
    spans = {span.span_id: span for span in collector.of_trace(trace_id)}
    assert {s.parent for s in spans.values()} - set(spans) == {sent}, "all but the client's own are told"
    (first,) = [span for span in spans.values() if span.name == "first prediction"]
    assert first.links and first.links[0] != trace_id, "the request's own trace"
    way, span = [], first
    while span.parent in spans:
        way.append(span.name)
        span = spans[span.parent]
    on_the_way = ["first prediction", "send DesiredState", "process shipway.ModelApproved.v1", "judging", "training"]
    assert [name for name in way if name in on_the_way] == on_the_way, way
    assert (span.service, span.name) == ("trainer", "process shipway.TrainingRequested.v1")
    assert all(s.begun_ns <= s.ended_ns and not s.error for s in spans.values())


async def test_a_worse_version_is_rejected_with_the_reason(shipway_world: World) -> None:
    await shipway_world.declare("worse")
    assert (await shipway_world.train("worse")).succeeded
    crippled = {
        "rounds": 1,
        "early_stopping_rounds": None,
        "validation": 0.0,
        "threads": 1,
        "params": {"num_leaves": 2, "learning_rate": 0.001},
    }
    await shipway_world.declare("worse", training=crippled, gates={"max_regression": 0.001, "floor": 0.9})
    journey = await shipway_world.train("worse")
    assert journey.state == "rejected"
    failed = {gate.name for gate in journey.gates if not gate.passed}
    assert {"floor", "champion"} <= failed
    assert "champion" in journey.reason
    answer = await shipway_world.shipway.predict("worse", [features_of(make_rows("binary", 1)[0])])
    assert answer.version == 1


async def test_a_training_that_failed_is_run_again_from_the_stage_where_it_failed(shipway_world: World) -> None:
    model, client = "mended", shipway_world.shipway
    both = {"params": {"is_unbalance": True, "scale_pos_weight": 2.0}, "rounds": 30, "threads": 1}
    space = {"learning_rate": {"min": 0.1, "max": 0.3}, "num_leaves": {"min": 4, "max": 15}}
    spec = await shipway_world.declare(model, training=both, search={"trials": 4, "space": space})
    failed = await shipway_world.train(model)
    assert (failed.state, failed.stage) == ("failed", "train"), failed
    (job,) = await client.jobs(model=model, state="failed")
    assert job["request_id"] == failed.request_id
    before = {stage["stage"]: stage for stage in (await client.job(failed.request_id))["stages"]}
    assert "Traceback" in (await client.job_log(failed.request_id))["log"]

    training = spec.training.model_copy(update={"params": {"num_leaves": 7}})
    await client.declare(spec.model_copy(update={"training": training}))
    await client.retry(model, failed.request_id)
    await shipway_world.event(e.ReleasePromoted, model=model, version=1)
    job = await client.job(failed.request_id)
    after = {stage["stage"]: stage for stage in job["stages"]}
    assert (job["state"], job["version"]) == ("completed", 1)
    ran_again = [name for name in after if after[name]["started_at"] != before[name]["started_at"]]
    assert ran_again == ["train", "evaluate", "build", "record"]
    row = features_of(make_rows("binary", 1)[0])
    assert (await client.predict(model, [row])).version == 1
    await _what_a_search_finds_waits_for_a_person(shipway_world, model)
    assert (await client.predict(model, [row])).version == 2


async def _what_a_search_finds_waits_for_a_person(shipway_world: World, model: str) -> None:
    client = shipway_world.shipway
    search = [journey async for journey in client.search(model)][-1]
    assert search.state == "searched" and search.baseline is not None, search
    (found,) = search.candidates
    assert {4 <= found.params["num_leaves"] <= 15, 0.1 <= found.params["learning_rate"] <= 0.3} == {True}
    completed = await shipway_world.event(e.TrainingCompleted, model=model, request_id=found.request_id)
    assert completed.origin == "search"
    assert completed.metrics["auc"] == pytest.approx(found.figure)
    job, candidate = await client.job(search.request_id), await client.job(found.request_id)
    (trials,) = [stage["result"]["trials"] for stage in job["stages"] if stage["stage"] == "search"]
    assert len(trials) == 4 and job["message"].startswith("4 of 4 trials")
    assert {s["stage"] for s in candidate["stages"] if s["reused"]} == {"get-data", "clean", "preprocess"}
    approved = await shipway_world.event(e.ModelApproved, model=model, version=completed.version)
    assert approved.hold == "its parameters were found by a search"

    async def waits() -> bool:
        return (await client.command(model, "approve", version=completed.version, reason="seen")).done

    await eventually(waits, "it waits for approval, and is approved")
    begun = [one.to_state for one in shipway_world.recorder.payloads(e.ReleaseProgressed, model=model, version=2)]
    assert begun == [] or begun[0] == "loading"
    await shipway_world.event(e.ReleasePromoted, model=model, version=2)


async def test_an_old_unused_version_is_retired_and_the_last_one_never(shipway_world: World) -> None:
    model = "ageing"
    await shipway_world.declare(model, retirement={"max_age": "1s", "unused_for": "1s"})
    for version in (1, 2, 3):
        journey = await shipway_world.train(model)
        assert journey.succeeded and journey.version == version, journey
    retired = await shipway_world.event(e.ModelRetired, model=model, version=1)
    assert "unused" in retired.reason

    async def unloaded() -> bool:
        instances = (await shipway_world.shipway.instances())["instances"]
        held = [{v["version"] for v in i["versions"] if v["model"] == model} for i in instances]
        return len(held) == 2 and all(h == {2, 3} for h in held)

    await eventually(unloaded, "version 1 is unloaded everywhere, 2 and 3 are held")
    assert not [r for r in shipway_world.recorder.payloads(e.ModelRetired, model=model) if r.version == 3]
    assert (await shipway_world.shipway.predict(model, [features_of(make_rows("binary", 1)[0])])).version == 3

    async def measured() -> dict[str, int] | None:
        levels = (await shipway_world.shipway.levels(model))["levels"]
        good = {level["name"]: level["good"] for level in levels}
        return good if good["retired"] >= 1 and good["seen"] == 3 else None

    good = await eventually(measured, "each phase is measured, from the request to the last instance that lets go")
    assert good is not None
    assert all(good[phase] == 3 for phase in ("accepted", "trained", "judged", "released", "serving")), good
    promoted = shipway_world.recorder.payloads(e.ReleasePromoted, model=model, version=3)[0]
    routed = [said.routed.get(model, 0) for said in shipway_world.recorder.payloads(e.GatewayPresence)]
    assert max(routed) >= promoted.generation, "the gateway said that it sends by it"


WRONG = [
    ({"age": 1, "colour": "red", "flag": True}, "rows[0].size", "is missing"),
    ({"size": 1, "age": 1, "colour": "red", "flag": True, "wieght": 1}, "rows[0].wieght", "not a feature"),
    ({"size": "big", "age": 1, "colour": "red", "flag": True}, "rows[0].size", "must be a number"),
    ({"size": 1, "age": None, "colour": "red", "flag": True}, "rows[0].age", "must not be null"),
    ({"size": 1, "age": 1, "colour": 1.5, "flag": True}, "rows[0].colour", "must be a category"),
    ({"size": 1, "age": 1, "colour": "red", "flag": 1}, "rows[0].flag", "must be true or false"),
]


async def test_wrong_features_are_named(shipway_world: World, served: str) -> None:
    async with httpx.AsyncClient() as client:
        for row, field, words in WRONG:
            response = await client.post(f"{shipway_world.gateway}/predict/{served}", json={"rows": [row]})
            assert response.status_code == 422
            errors = {err["field"]: err["problem"] for err in problem(response)["errors"]}
            assert words in errors[field]
        for body in (b"", b"{", b"[]", b'{"rows": 1}', b'{"rows": []}', b"[" * 100_000, b"\xff"):
            response = await client.post(f"{shipway_world.gateway}/predict/{served}", content=body)
            assert response.status_code in (400, 422), response.text
            assert problem(response)["detail"]
        assert (await client.post(f"{shipway_world.gateway}/predict/nothing", json={"rows": [{}]})).status_code == 404
    unseen = {"size": 1, "age": 1, "colour": "mauve", "flag": False}
    assert len((await shipway_world.shipway.predict(served, [unseen])).predictions) == 1


async def test_feedback_finds_its_prediction(shipway_world: World, served: str) -> None:
    answer = await shipway_world.shipway.predict(served, [features_of(make_rows("binary", 1)[0])])
    await shipway_world.shipway.feedback(served, answer.predictions[0].id, True)
    await shipway_world.event(e.FeedbackReceived, model=served, prediction_id=answer.predictions[0].id)
    with pytest.raises(Refused) as refused:
        await shipway_world.shipway.feedback(served, "", True)
    assert refused.value.status == 422


async def test_labels_become_quality_by_version_and_the_next_training_set(shipway_world: World, tmp_path: Path) -> None:
    model = "labelled"
    await shipway_world.declare(model)
    assert (await shipway_world.train(model)).succeeded
    rows, ids, asked_at = make_rows("binary", 400, seed=5), list[str](), list[datetime]()
    for begin in (0, 200):
        asked_at.append(datetime.now(UTC))
        part = [features_of(row) for row in rows[begin : begin + 200]]
        names = [f"{'ann' if n < 50 else 'bob'}/order-{begin + n}" for n in range(200)]
        answer = await shipway_world.shipway.predict(model, part, client_ids=names)
        ids += [prediction.id for prediction in answer.predictions]
    until = datetime.now(UTC)
    truth = {name: row["y"] for name, row in zip(ids, rows, strict=True) if row["y"] is not None}
    labels = [KnownLabel(name, y) for name, y in truth.items()]
    wrong = KnownLabel(ids[1], not truth[ids[1]])
    assert await shipway_world.shipway.feedback_many(model, [wrong, *labels, *labels[:10]]) == len(labels) + 11

    async def joined() -> dict[str, Any] | None:
        found = await shipway_world.shipway.quality(model)
        return found if found["versions"] and found["versions"][0]["labelled"] == len(truth) else None

    found = await eventually(joined, "every label has found its prediction")
    assert found is not None
    (version,) = found["versions"]
    assert (version["version"], version["predictions"]) == (1, 400)
    assert (found["counts"]["conflicting"], found["counts"]["doubled"]) == (1, 10)
    assert version["metrics"]["accuracy"] > 0.75 and version["loss"]["high"] < 0.25

    async def told() -> list[e.QualityMeasured]:
        return shipway_world.recorder.payloads(e.QualityMeasured, model=model, labelled=len(truth))

    (measured, *_) = await eventually(told, "the quality is told")
    assert measured.loss_sum / measured.labelled == pytest.approx(version["loss"]["mean"])

    async def filed() -> dict[str, Any] | None:
        keys = await asyncio.to_thread(shipway_world.store.list, f"labels/{model}/")
        tables = [pq.read_table(io.BytesIO(shipway_world.store.get(key, 10**7))) for key in keys]
        read = {row["prediction_id"]: row["label"] for table in tables for row in table.to_pylist()}
        return read if len(read) == len(truth) else None

    assert await eventually(filed, "the labels are filed") == {name: str(y).lower() for name, y in truth.items()}

    answered = (await shipway_world.shipway.predictions(model, asked_at[0], until)).to_pandas()
    known = answered.merge((await shipway_world.shipway.labels(model)).to_pandas(), on="prediction_id")
    assert (len(answered), len(known)) == (400, len(truth))
    said = ["true" if scores[0] > 0.5 else "false" for scores in known["scores"]]
    assert (known["label"] == said).mean() > 0.75
    judged = (await shipway_world.shipway.evaluations(model)).to_pandas()
    assert judged["passed"].all() and (await shipway_world.shipway.versions(model)).to_pandas()["version"].max() == 1

    (recorded,) = await collect(shipway_world.shipway, model)
    assert (recorded.version, recorded.state) == (1, "champion") and recorded.model_text
    assert {"report.json", "report.html", "signature.json"} == set(recorded.files)
    assert recorded.metrics["auc"] > 0.6 and recorded.params["rounds"]

    lasted = f"{(until - asked_at[1]).total_seconds() * 1000:.3f}ms"
    await shipway_world.declare(
        model,
        data={"source": "history", "time_column": "at", "train": "1h", "holdout": lasted},
        labels={"mature_after": "0s"},
        gates={"max_regression": 0.5, "stability_runs": 0},
    )
    journey = await shipway_world.train(model, until=until)
    assert journey.succeeded, journey
    assert journey.training_rows == sum(name in truth for name in ids[:200])
    report = await shipway_world.shipway.report(model, 2)
    lived = report["data"]["history"]
    assert (lived["train"]["predictions"], lived["holdout"]["predictions"]) == (200, 200)
    assert report["holdout"]["rows"] == sum(name in truth for name in ids[200:])

    async def answers() -> bool:
        return (await shipway_world.shipway.predict(model, [features_of(rows[0])])).version == 2

    await eventually(answers, "the gateway has heard of the promotion")

    period = [f"{at:%Y-%m-%dT%H:%M:%S}" for at in (asked_at[0], until + timedelta(seconds=1))]
    replay = ("replay", model, "2", "--from", period[0], "--to", period[1])
    replayed = await read_json(shipway_world, *replay)
    assert replayed["answered_by"]["1"] >= 400 and replayed["quality"]["labelled"] == len(truth)
    assert set(replayed["quality"]["replayed"]) == set(replayed["quality"]["logged"])
    there = await read_json(shipway_world, *replay, "--by-evaluator")
    for name in ("rows", "answered_by", "left_out", "scores", "decisions", "quality"):
        assert there[name] == replayed[name], name

    gone = await read_json(shipway_world, "forget", model, "--subject", "ann")
    theirs = {*ids[:50], *ids[200:250]}
    assert (gone["records"], gone["labels"], gone["versions"]) == (100, len(theirs & truth.keys()), [2])
    for folder in ("history", "labels"):
        left = await asyncio.to_thread(read_elsewhere, shipway_world, f"{folder}/{model}/", tmp_path)
        assert left and not theirs & left
        assert set(ids) - theirs <= left if folder == "history" else truth.keys() - theirs <= left


def read_elsewhere(world: World, prefix: str, folder: Path) -> set[str]:
    """The ids of predictions that another tool finds in a copy of the object store, by path."""
    for key in world.store.list(prefix):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(world.store.get(key, 10**7))
    files = f"{folder / prefix}/**/*.parquet"
    query = f"select prediction_id from read_parquet('{files}', union_by_name = true)"
    read = duckdb.connect().execute(query)
    return {name for (name,) in read.fetchall()}
