"""A training that an alert asks for, on a real PostgreSQL: once, with the reason, and given up in words."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.contract.envelope import decode
from shipway.monitor import alerts
from shipway.monitor.alerting import Rule
from shipway.monitor.judgement import Finding
from shipway.monitor.retrainer import Retrainer
from shipway.monitor.tables import models, retrainings
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox

NOW = datetime.now(UTC)
Put = Callable[..., Awaitable[None]]
DRIFT = Finding(1, "drift", "n", "drift", True, 0.3, 0.1, 1e-9, "30 % of 900 predictions lie elsewhere")


@pytest.fixture
def retrainer(database: Database) -> Retrainer:
    parts: Any = SimpleNamespace(database=database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: 0))
    return Retrainer(parts)


@pytest.fixture
async def drifting(put: Put, database: Database, raw_spec: Callable[..., dict[str, Any]]) -> None:
    """A champion, two days old, with an open alert of drift."""
    spec = raw_spec(retraining={"on": ["drift"], "give_up_after": 1})
    await put(e.ModelDeclared(model="m", spec=spec, declared_by="ann"), NOW - timedelta(days=3))
    promoted = e.ReleasePromoted(
        model="m", version=1, digest="d", release_id="r", generation=1, previous_version=None, reason="good"
    )
    await put(promoted, NOW - timedelta(days=2))
    await alert(database)


async def alert(database: Database, finding: Finding = DRIFT) -> None:
    async with database.begin() as tx:
        await alerts.follow(tx, "tests", "m", [finding], Rule({}), NOW)


async def told(database: Database, kind: type[e.Payload]) -> list[Any]:
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
    said = [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])).payload for r in rows]
    return [event for event in said if isinstance(event, kind)]


async def test_drift_asks_for_one_training_with_the_reason(
    database: Database, drifting: None, retrainer: Retrainer, put: Put
) -> None:
    for _ in range(3):
        await retrainer.step()
    (asked,) = await told(database, e.TrainingRequested)
    assert asked.requested_by == "shipway/monitor"
    assert asked.reason == "drift n of version 1: 30 % of 900 predictions lie elsewhere"
    await put(asked)
    async with database.begin() as tx:
        await tx.execute(sa.update(retrainings).values(asked_at=sa.func.now() - timedelta(days=2)))
    await put(e.TrainingAccepted(model="m", request_id=asked.request_id), datetime.now(UTC))
    await retrainer.step()
    assert len(await told(database, e.TrainingRequested)) == 1, "while it is under way, however long ago"


@pytest.mark.parametrize("state", ["loading", "shadow", "canary"])
async def test_nothing_is_asked_for_while_a_version_is_being_released(
    database: Database, drifting: None, retrainer: Retrainer, put: Put, state: str
) -> None:
    progressed = e.ReleaseProgressed(
        model="m",
        version=2,
        release_id="r",
        from_state="approved",
        to_state=state,
        candidate_share=0.0,
        generation=2,
        reason="",
    )
    await put(progressed, NOW - timedelta(days=1))
    await retrainer.step()
    assert await told(database, e.TrainingRequested) == []


async def test_after_failures_it_is_given_up_with_an_alert_that_ends_with_another_champion(
    database: Database, drifting: None, retrainer: Retrainer, put: Put
) -> None:
    await retrainer.step()
    (asked,) = await told(database, e.TrainingRequested)
    failed = e.TrainingFailed(model="m", request_id=asked.request_id, stage="clean", reason="no labels", attempts=1)
    await put(failed, datetime.now(UTC))
    async with database.begin() as tx:
        await tx.execute(sa.update(retrainings).values(asked_at=sa.func.now() - timedelta(days=30)))
    for _ in range(3):
        await retrainer.step()
    (raised,) = [one for one in await told(database, e.AlertChanged) if one.kind == "retraining"]
    assert (raised.state, raised.severity, raised.version) == ("raised", "critical", None)
    assert raised.reason == "1 trainings in a row gave no better champion than version 1"
    assert len(await told(database, e.TrainingRequested)) == 1
    async with database.begin() as tx:
        await tx.execute(sa.update(models).values(champion=2))
    for _ in range(3):
        await retrainer.step()
    assert [one.state for one in await told(database, e.AlertChanged) if one.kind == "retraining"] == [
        "raised",
        "ended",
    ]


async def test_without_a_wish_nothing_is_asked_for(
    database: Database, drifting: None, retrainer: Retrainer, put: Put, raw_spec: Callable[..., dict[str, Any]]
) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"), NOW)
    await retrainer.step()
    assert await told(database, e.TrainingRequested) == []
