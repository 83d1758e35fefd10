"""Monitoring over the running loop: days of predictions, as predictors log them, are judged by the reference."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from world import World, eventually

from shipway.client import KnownLabel
from shipway.contract import events as e
from shipway.contract.predictionbatch import encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.topics import PREDICTION_LOG

pytestmark = pytest.mark.asyncio(loop_scope="session")
Days = dict[datetime, list[list[float]]]
ABOUT_TO_END = timedelta(seconds=30)  # a day so near its end is over before the test is: it is waited for


def name_of(model: str, day: datetime, n: int) -> str:
    """A prediction's id."""
    return f"{model}-{day:%d}-{n}"


async def logged(world: World, model: str, days: Days) -> None:
    """Puts predictions of version 1 into the log, eight a query: in one batch, or the first days are judged without the
    rest.
    """
    records = [
        PredictionRecord(
            prediction_id=name_of(model, day, n),
            at=day + n * timedelta(seconds=60),
            model=model,
            version=1,
            generation=1,
            instance="test",
            role="champion",
            outcome="answered",
            reason=None,
            latency_us=5000,
            client_id=f"{day:%d}-{n // 8}/{n % 8}",
            trace_id=f"{day.day * 100_000 + n // 8:032x}",
            features=row,
            scores=[0.5],
        )
        for day, rows in days.items()
        for n, row in enumerate(rows)
    ]
    message = encode_batch(records, "test", "test")
    async with world.producer() as producer:
        await producer.send(PREDICTION_LOG.name, message.key, message.value, message.headers)


async def order_of(world: World, model: str) -> list[str]:
    """A served model's features, in the order of the log."""
    async with httpx.AsyncClient() as client:
        served = (await client.get(f"{world.gateway}/models/{model}")).json()["versions"][0]
    return [feature["name"] for feature in served["signature"]["features"]]


async def counts_by_reference(world: World, model: str) -> None:
    """Waits until the monitor knows the reference of a version: what it reads before the approval counts without its
    features, and the topic of events and the prediction log have no order between them.
    """
    database = await asyncpg.connect(world.supervisor.state().database_url)
    try:

        async def known() -> bool:
            return bool(await database.fetchval("select count(*) from monitor.reference_bins where model = $1", model))

        await eventually(known, "the reference is known")
    finally:
        await database.close()


def days_of(order: list[str]) -> Days:
    """Three days up to yesterday; from the second on the unit of size is another."""
    rng = random.Random(3)

    def row(factor: float) -> list[float]:
        size, age = factor * rng.uniform(0, 10), rng.gauss(0, 1)
        values = {"size": size, "age": age, "colour": float(rng.randrange(3)), "flag": float(rng.random() < 0.4)}
        return [values[name] for name in order]

    today = (datetime.now(UTC) + ABOUT_TO_END).replace(hour=0, minute=0, second=0, microsecond=0)
    by_day = ((3, 1.0), (2, 2.54), (1, 2.54))
    return {today - timedelta(days=ago): [row(factor) for _ in range(800)] for ago, factor in by_day}


async def test_a_feature_whose_unit_changed_is_found_and_the_others_are_not(shipway_world: World) -> None:
    model = "watched"
    levels = {"latency_p99": "1ms", "on_budget_spent": "hold"}
    await shipway_world.declare(model, monitoring={"lateness": "1s"}, service_levels=levels)
    assert (await shipway_world.train(model)).succeeded
    await counts_by_reference(shipway_world, model)
    await logged(shipway_world, model, days_of(await order_of(shipway_world, model)))

    async def alarm() -> dict[str, Any] | None:
        found = await shipway_world.shipway.monitoring(model)
        drifts = {one["subject"]: one for one in found["findings"] if one["kind"] == "drift"}
        return drifts if drifts and drifts["size"]["alarm"] and len(drifts["size"]["recent"]) == 3 else None

    drifts = await eventually(alarm, "the unit change is found")
    assert drifts is not None
    assert [past["state"] for past in drifts["size"]["recent"]] == ["ok", "drift", "drift"]
    assert drifts["size"]["figure"] > 0.3 and drifts["size"]["p"] < 1e-9
    assert {name for name, one in drifts.items() if one["alarm"]} <= {"size", "score"}
    raised = await shipway_world.event(e.AlertChanged, model=model, subject="size", state="raised")
    (alert,) = [one for one in await shipway_world.shipway.alerts(model) if one["subject"] == "size"]
    assert (alert["id"], alert["page"]) == (raised.alert_id, "docs/playbook.md#drift")
    await shipway_world.shipway.acknowledge_alert(alert["id"], "the unit of size was changed")

    # Each answer took longer than it may: that budget is spent, and holds releases until a person lets them go on.
    spent = await shipway_world.event(e.BudgetChanged, model=model, level="latency", state="spent")
    assert spent.hold_releases and spent.left < -1
    assert (await shipway_world.shipway.levels(model))["holds_releases"]

    async def resumed() -> str | None:
        answered = await shipway_world.shipway.command(model, "resume", reason="it is known")
        return answered.answer if answered.done else None

    assert f"though {spent.reason}" in (await eventually(resumed, "the releaser has heard of it") or "")


@pytest.mark.slow
async def test_drift_asks_for_a_training_on_its_own_predictions_and_gets_a_champion(shipway_world: World) -> None:
    """With nobody in between; the cool-down after the first champion is a minute at least."""
    async with asyncio.TaskGroup() as both:
        for kind in ("binary", "ranking"):
            both.create_task(drift_ends_in_a_champion(shipway_world, f"learning-{kind}", kind))


async def drift_ends_in_a_champion(world: World, model: str, kind: str) -> None:
    """A model of some kind whose inputs drift learns from the predictions of these days."""
    watched: dict[str, Any] = {"monitoring": {"lateness": "1s"}}
    await world.declare(model, kind, **watched)
    assert (await world.train(model)).succeeded
    order = await order_of(world, model)
    days, size, age = days_of(order), order.index("size"), order.index("age")
    await counts_by_reference(world, model)
    await logged(world, model, days)
    numbered = [(day, n, row) for day, rows in days.items() for n, row in enumerate(rows)]
    relevant = [(name_of(model, day, n), row[size] + 6 * row[age] > 12) for day, n, row in numbered]
    await world.shipway.feedback_many(model, [KnownLabel(name, true) for name, true in relevant])

    async def joined() -> bool:
        found = (await world.shipway.quality(model, days=10))["versions"]
        return bool(found) and found[0]["labelled"] == len(relevant)

    await eventually(joined, "every label has found its prediction", 120)
    # Back from now, whatever the time of the day: yesterday is in the holdout, and the first day is trained on.
    lived = {"source": "history", "time_column": "at", "train": "2d", "holdout": "2d"}
    lived |= {"query_column": "query"} if kind == "ranking" else {}
    own: dict[str, Any] = {"data": lived, "labels": {"mature_after": "0s"}}
    own |= {"gates": {"max_regression": 0.5, "stability_runs": 0}}
    await world.declare(model, kind, **watched, **own, retraining={"on": ["drift"], "cool_down": "1m"})
    asked = await world.event(e.TrainingRequested, 150, model=model, requested_by="shipway/monitor")
    assert (
        asked.reason.startswith("drift size of version 1: ") and "lie elsewhere than in the reference" in asked.reason
    )
    promoted = await world.event(e.ReleasePromoted, 150, model=model, version=2)
    assert promoted.previous_version == 1
    (completed,) = world.recorder.payloads(e.TrainingCompleted, model=model, version=2)
    assert completed.request_id == asked.request_id and completed.training_rows >= 800
    report = await world.shipway.report(model, 2)
    assert report["data"]["history"]["holdout"]["predictions"] >= 800
