"""Service levels on a real PostgreSQL: phases by events, budgets by the log, and what is done about them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.tests.handed import Said
from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.contract.spec import parse_spec
from shipway.monitor import alerts, measuring, reading, windows
from shipway.monitor.accountant import Accountant
from shipway.monitor.api import add_routes
from shipway.monitor.budgets import Counts
from shipway.monitor.levels import serving_counts
from shipway.monitor.summary import LATENCIES, Summary
from shipway.monitor.tables import dead_letters, versions
from shipway.runtime.database import Database

NOW = datetime.now(UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Put = Callable[..., Awaitable[None]]
Raw = Callable[..., dict[str, Any]]


class World:
    """A monitor's accountant over what instances say."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.presence: Any = SimpleNamespace(values={}, envelopes={}, caught_up=asyncio.Event(), problem=None)
        self.presence.caught_up.set()
        self.gateways: Any = SimpleNamespace(values={}, envelopes={}, caught_up=asyncio.Event(), problem=None)
        self.gateways.caught_up.set()

    def says(self, name: str, generation: int, *versions: int, started_at: datetime = NOW) -> None:
        held = [e.LoadedVersion(model="m", version=v, digest="d", state="ready") for v in versions]
        said = e.Presence(
            instance=name,
            url="http://x",
            started_at=started_at,
            library_versions={},
            generations={"m": generation},
            versions=held,
        )
        self.presence.values[name] = said
        self.presence.envelopes[name] = Envelope(name, "tests", datetime.now(UTC), said)

    def routes(self, name: str, generation: int, ago_s: float = 0.0) -> None:
        said = e.GatewayPresence(gateway=name, started_at=NOW, routed={"m": generation})
        self.gateways.values[name] = said
        self.gateways.envelopes[name] = Envelope(name, "tests", datetime.now(UTC) - timedelta(seconds=ago_s), said)

    async def look(self) -> None:
        parts: Any = SimpleNamespace(
            database=self.database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: None)
        )
        await Accountant(parts, self.presence, self.gateways, 10.0, 1e-6).step()

    async def open_alerts(self) -> set[tuple[str, int, str, str]]:
        async with self.database.begin() as tx:
            listed = await alerts.listed(tx, None, ended=False)
        return {(one["model"], one["version"], one["kind"], one["subject"]) for one in listed}

    async def levels(self) -> dict[str, Any]:
        app = FastAPI()
        add_routes(app, self.database, self.presence, 10.0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://monitor") as client:
            response = await client.get("/api/models/m/levels")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found | {"levels": {one["name"]: one for one in found["levels"]}}


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def declare(put: Put, raw_spec: Raw) -> Put:
    """Declares the model with these service levels."""

    async def declared(**levels: Any) -> None:
        spec = raw_spec(service_levels=levels)
        await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"), datetime.now(UTC))

    return declared


@pytest.fixture
def requests(database: Database, raw_spec: Raw) -> Put:
    """Adds requests of the last minute to the windows: ``await requests(answered=10, failed=1)``."""

    async def add(answered: int = 0, failed: int = 0, slow: int = 0, **levels: Any) -> None:
        latencies = [0] * LATENCIES
        latencies[4], latencies[40] = answered - slow, slow
        summary = Summary(answered=answered, failed=failed)
        summary.latencies += latencies
        spec = parse_spec(raw_spec(service_levels=levels))
        async with database.begin() as tx:
            slot = datetime.now(UTC).replace(second=0, microsecond=0)
            await windows.add_parts(tx, {("m", 1, slot): summary})
            await windows.fold(tx, {"m": spec}, HOUR)

    return add


def judged(version: int, **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "version": version,
        "digest": "d",
        "request_id": f"r{version}",
        "gates": [],
        "metrics": {},
        "champion_version": None,
        "champion_metrics": {},
    } | more


def release(version: int, generation: int) -> dict[str, Any]:
    return {"model": "m", "version": version, "digest": "d", "release_id": f"m-{version}", "generation": generation}


async def trained(put: Put, version: int, begin: datetime) -> None:
    """A request that is accepted, trained and approved, a minute each."""
    request_id = f"r{version}"
    completed: dict[str, Any] = {
        "bundle_bytes": 1,
        "training_rows": 1,
        "set_aside_rows": {},
        "train_from": begin,
        "train_to": begin,
        "holdout_from": begin,
        "holdout_to": begin,
        "metrics": {},
        "duration_s": 1.0,
    }
    # In another order than they were said in: topics are read side by side.
    approved = judged(version, signature={}, release={}, prediction_log={})
    await put(e.ModelApproved(**approved), begin + 3 * MINUTE)
    finished = e.TrainingCompleted(model="m", request_id=request_id, version=version, digest="d", **completed)
    await put(finished, begin + 2 * MINUTE)
    await put(e.TrainingAccepted(model="m", request_id=request_id), begin + MINUTE)
    await put(e.TrainingRequested(model="m", request_id=request_id), begin)


async def test_every_phase_is_measured_from_request_to_retirement(world: World, put: Put, declare: Put) -> None:
    begin = NOW - 3 * HOUR
    await declare(accepted_within="59s", trained_within="2m", retired_within="1m")
    await trained(put, 1, begin)
    await put(e.ModelReleased(**release(1, 1), instances=["p"], candidate_share=1.0), begin + 4 * MINUTE)
    await put(e.ReleasePromoted(**release(1, 1), previous_version=None, reason=""), begin + 5 * MINUTE)
    world.says("p", 1, 1)
    world.says("q", 0)
    await world.look()
    found = await world.levels()
    assert {name: (one["good"], one["bad"]) for name, one in found["levels"].items()} == {
        "accepted": (0, 1),
        "trained": (1, 0),
        "judged": (1, 0),
        "released": (1, 0),
        "seen": (0, 1),  # q has not heard of it for hours
        "serving": (1, 0),
        "retired": (0, 0),
        "availability": (0, 0),
        "log": (0, 0),
    }
    assert found["levels"]["serving"]["median_s"] == 300
    assert found["levels"]["accepted"]["left"] == pytest.approx(-19)
    assert [(late["phase"], late["subject"]) for late in found["overdue"]] == [("seen", "1")]
    assert ("m", 1, "overdue", "seen") in await world.open_alerts()
    world.says("q", 1, 1)
    await world.look()
    assert (await world.levels())["overdue"] == []
    assert ("m", 1, "overdue", "seen") not in await world.open_alerts()

    await put(e.ModelRetired(model="m", version=1, policy="age", reason="old"), datetime.now(UTC))
    await world.look()
    assert (await world.levels())["levels"]["retired"]["good"] == 0, "p and q hold it"
    for name in "pq":
        world.says(name, 2)
    await world.look()
    assert (await world.levels())["levels"]["retired"]["good"] == 1


async def test_a_promotion_is_seen_when_every_live_gateway_sends_by_it(world: World, put: Put, declare: Put) -> None:
    await declare()

    async def seen() -> int:
        await world.look()
        return int((await world.levels())["levels"]["seen"]["good"])

    await put(e.ReleasePromoted(**release(1, 7), previous_version=None, reason=""), datetime.now(UTC))
    world.says("p", 7, 1)
    world.routes("a", 7)
    world.routes("b", 6)
    assert await seen() == 0, "b does not send to it yet"
    world.routes("b", 7)
    world.gateways.problem = "Kafka is away"
    assert await seen() == 0, "others may be there"
    world.gateways.problem = None
    world.routes("gone", 3, ago_s=60)
    assert await seen() == 1, "one that is silent is not waited for"
    world.gateways.values.clear()
    await put(e.ReleasePromoted(**release(2, 8), previous_version=1, reason=""), datetime.now(UTC))
    world.says("p", 8, 2)
    assert await seen() == 2, "gateways of the release before say nothing"


async def test_what_the_rules_end_another_way_is_not_counted(world: World, put: Put, declare: Put) -> None:
    await declare()
    for version, end in (
        (1, e.ReleaseSuperseded(model="m", version=1, release_id="m-1", by_version=2)),
        (2, e.ReleaseRolledBack(**release(2, 3), champion_version=None, champion_digest=None, reason="errors")),
    ):
        await trained(put, version, NOW - 3 * HOUR)
        await put(end, NOW - 2 * HOUR)
    await put(e.TrainingRequested(model="m", request_id="c"), NOW - 5 * HOUR)
    cancelled = e.TrainingFailed(model="m", request_id="c", stage="train", reason="cancelled by ann", attempts=1)
    await put(cancelled, NOW - 4 * HOUR)
    await world.look()
    counts = {name: (one["good"], one["bad"]) for name, one in (await world.levels())["levels"].items()}
    assert (counts["released"], counts["serving"], counts["trained"]) == ((0, 0), (0, 0), (2, 0))


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_a_search_that_fails_is_no_training_that_missed_its_target(
    world: World, put: Put, declare: Put, first: int
) -> None:
    await declare()
    told = [
        e.SearchRequested(model="m", request_id="s"),
        e.TrainingAccepted(model="m", request_id="s"),
        e.TrainingFailed(model="m", request_id="s", stage="search", reason="no trial ended", attempts=1),
    ]
    for event in told[first:] + told[:first]:  # topics are read side by side
        await put(event, NOW - 4 * HOUR)
    await world.look()
    levels = (await world.levels())["levels"]
    assert (levels["trained"]["good"], levels["trained"]["bad"], levels["accepted"]["good"]) == (0, 0, 1)


@pytest.mark.parametrize("state", ["loading", "shadow", "canary"])
async def test_newest_events_are_alerts_until_newer_ones_end_well(
    world: World, said: Said, put: Put, declare: Put, state: str
) -> None:
    await declare()
    await put(e.TrainingRequested(model="m", request_id="r0"), NOW - HOUR)
    await put(e.TrainingAccepted(model="m", request_id="r0"), NOW - HOUR)
    await put(e.TrainingFailed(model="m", request_id="r0", stage="clean", reason="no rows", attempts=1), NOW - HOUR)
    await put(e.ModelRejected(**judged(1, reason="floor: auc 0.5")), NOW - HOUR)
    await world.look()
    await world.look()
    assert await world.open_alerts() == {("m", 0, "failed training", ""), ("m", 1, "rejected version", "")}
    (first, _) = await said(e.AlertChanged)
    assert (first.state, first.page) == ("raised", "docs/playbook.md#failed-training")
    await trained(put, 2, NOW - 10 * MINUTE)
    await put(e.ReleaseProgressed(**_progress(2) | {"to_state": state}), NOW - 6 * MINUTE)
    await world.look()
    assert await world.open_alerts() == set()
    back = e.ReleaseRolledBack(**release(2, 3), champion_version=None, champion_digest=None, reason="errors")
    await put(back, NOW - 5 * MINUTE)
    await world.look()
    assert await world.open_alerts() == {("m", 2, "rolled back", "")}


def _progress(version: int) -> dict[str, Any]:
    fields = {"from_state": "approved", "to_state": "loading", "candidate_share": 0.0, "reason": ""}
    return {"model": "m", "version": version, "release_id": f"m-{version}", "generation": 2} | fields


async def test_a_degraded_champion_that_answers_on_is_an_alert_with_the_reason(
    world: World, said: Said, put: Put, declare: Put
) -> None:
    async def degraded(ago: timedelta) -> None:
        second = sa.update(versions).where(versions.c.version == 2)
        async with world.database.begin() as tx:
            await tx.execute(second.values(degraded_at=datetime.now(UTC) - ago))

    await declare()
    await put(e.ReleasePromoted(**release(1, 1), previous_version=None, reason=""), NOW - 3 * HOUR)
    await put(e.ReleasePromoted(**release(2, 2), previous_version=1, reason=""), NOW - HOUR)
    world.says("p", 2, 1, 2)
    await degraded(timedelta(seconds=30))
    await world.look()
    assert await world.open_alerts() == set(), "the last good version may be on its way"
    await degraded(5 * MINUTE)
    await world.look()
    assert await world.open_alerts() == {("m", 2, "degraded champion", "")}
    (raised,) = await said(e.AlertChanged)
    assert (raised.severity, raised.page) == ("critical", "docs/playbook.md#degraded-champion")
    assert raised.reason.endswith("still answers; the last good version, 1, is not ready on enough instances yet")
    asked = e.TrainingRequested(model="m", request_id=e.replacement_request("m", 2), reason="nobody can hold 1")
    await put(asked, NOW - 4 * MINUTE)
    async with world.database.begin() as tx:
        (found,) = await reading.overview(tx)
        champion = await measuring.degraded_champion(tx, "m")
    assert champion is not None and champion.asked == "nobody can hold 1" and found["degraded"]
    await put(e.ReleaseRolledBack(**release(2, 3), champion_version=1, champion_digest="d", reason="degraded"), NOW)
    await world.look()
    assert ("m", 2, "degraded champion", "") not in await world.open_alerts()
    async with world.database.begin() as tx:
        assert not (await reading.overview(tx))[0]["degraded"]


async def test_a_retirement_that_is_put_off_for_long_is_an_alert(world: World, put: Put, declare: Put) -> None:
    await declare(deferred_at_most="1h")
    await put(e.ModelRetired(model="m", version=1, policy="age", reason="old"), NOW - 3 * HOUR)
    await put(e.RetirementDeferred(model="m", version=1, reason="it answers"), NOW - 2 * HOUR)
    world.says("p", 1, 1)
    await world.look()
    assert await world.open_alerts() == {("m", 1, "deferred retirement", "")}
    assert (await world.levels())["levels"]["retired"]["bad"] == 0
    world.says("p", 2, 2)
    await world.look()
    assert await world.open_alerts() == set()


def refused(service: str) -> e.DeadLettered:
    return e.DeadLettered(
        service=service,
        topic="shipway.training-requests",
        partition=0,
        offset=3,
        reason="no such model",
        error="InvalidField",
        at=NOW,
        key=None,
        value=b"{}",
        headers=[],
    )


async def test_dead_letters_and_restarts_are_alerts_of_no_model(world: World, put: Put) -> None:
    for n in range(4):
        world.says("p", 1, started_at=NOW - n * MINUTE)
        world.says("q", 1)
        await world.look()
    for service, at in (("trainer", NOW), ("trainer", NOW), ("releaser", NOW - 2 * HOUR), ("<b>", NOW)):
        await put(refused(service), at)
    await world.look()
    letters = {("*", 0, "dead letters", "trainer"), ("*", 0, "dead letters", "unknown")}
    assert await world.open_alerts() == letters | {("*", 0, "restarts", "p")}
    async with world.database.begin() as tx:
        [told] = [one for one in await alerts.listed(tx, None, ended=False) if one["subject"] == "trainer"]
        await tx.execute(sa.update(dead_letters).values(at=NOW - 2 * HOUR))
    assert told["reason"] == "trainer refused 2 messages in 1h"
    await world.look()
    assert await world.open_alerts() == {("*", 0, "restarts", "p")}, "an hour later it is over"


async def test_a_budget_that_is_spent_is_told_once_and_told_back(
    world: World, said: Said, put: Put, declare: Put, requests: Put
) -> None:
    await declare(on_budget_spent="hold", budget_min_requests=100)
    await requests(answered=95, failed=5)
    await world.look()
    await world.look()
    (spent,) = await said(e.BudgetChanged)
    assert (spent.level, spent.state, spent.hold_releases) == ("availability", "spent", True)
    assert spent.reason == "5 of 100 requests were not without failure in 30d; 1 may"
    assert spent.left == pytest.approx(-4)
    found = await world.levels()
    assert (found["spent"], found["holds_releases"]) == (["availability"], True)
    kinds = {(kind, of) for _, _, kind, of in await world.open_alerts()}
    # Five percent is five times what lasts: too slow for the fast pace, which is 6 times, and 14.4.
    assert kinds == {("budget spent", "availability"), ("slow burn", "availability")}
    await requests(answered=10_000)
    await world.look()
    assert [one.state for one in await said(e.BudgetChanged)] == ["spent", "back"]
    assert await world.open_alerts() == set()


async def test_a_model_file_that_wants_no_hold_any_more_lets_go(
    world: World, said: Said, declare: Put, requests: Put
) -> None:
    await declare(on_budget_spent="hold", budget_min_requests=100, latency_p99="1ms")
    await requests(answered=100, slow=50, latency_p99="1ms")
    await world.look()
    await declare(budget_min_requests=100, latency_p99="1ms")
    await world.look()
    told = await said(e.BudgetChanged)
    assert [(one.level, one.state, one.hold_releases) for one in told] == [
        ("latency", "spent", True),
        ("latency", "spent", False),
    ]


async def test_a_request_is_asked_for_once_more_where_the_model_file_says(
    world: World, said: Said, put: Put, declare: Put
) -> None:
    for request_id in ("lost", "failed"):
        await put(e.TrainingRequested(model="m", request_id=request_id, until=NOW), NOW - HOUR)
    await put(e.TrainingAccepted(model="m", request_id="failed"), NOW - HOUR)
    failed: dict[str, Any] = {"model": "m", "stage": "train", "reason": "no memory", "attempts": 3}
    await put(e.TrainingFailed(request_id="failed", **failed), NOW - HOUR)
    await declare()
    await world.look()
    assert await said(e.TrainingRequested) == []
    await declare(on_overdue="retry")
    await world.look()
    await world.look()
    asked = {one.request_id: one for one in await said(e.TrainingRequested)}
    assert asked.keys() == {"lost", "again-failed"}
    assert {one.until for one in asked.values()} == {NOW}
    # The second try fails too: it is not tried for ever.
    await put(asked["again-failed"], NOW)
    await put(e.TrainingAccepted(model="m", request_id="again-failed"), NOW)
    await put(e.TrainingFailed(request_id="again-failed", **failed), NOW)
    await world.look()
    assert len(await said(e.TrainingRequested)) == 2


@given(latency_us=st.integers(1, 10**9), limit_us=st.integers(1000, 10**9))
def test_a_latency_that_is_far_from_the_limit_is_counted_on_its_side(latency_us: int, limit_us: int) -> None:
    spec = parse_spec(
        {
            "name": "m",
            "data": {"source": "folder:/nowhere", "time_column": "at", "train": "30d", "holdout": "5d"},
            "target": {"column": "y", "kind": "binary"},
            "features": {"n": {"type": "number"}},
            "retirement": {"max_age": "30d", "unused_for": "1d"},
            "service_levels": {"latency_p99": f"{limit_us / 1000:.3f}ms"},
        }
    )
    summary = Summary(answered=10)
    summary.latencies[min(math.ceil(2 * math.log2(latency_us)), LATENCIES - 1)] = 10
    found = serving_counts(summary, spec)["latency"]
    if latency_us * 1.42 < limit_us:
        assert found == Counts(10, 0)
    if latency_us > limit_us * 1.42:
        assert found == Counts(0, 10)
