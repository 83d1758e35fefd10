"""The watch on a real PostgreSQL: what it says, once, and in the trace of the version's request."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.monitor.watch import Watch
from shipway.runtime import trace
from shipway.runtime.database import Database

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
Put = Callable[..., Awaitable[Any]]


@pytest.fixture
def step(database: Database, outgoing: Put) -> Put:
    """One look; everything that was said so far."""

    async def look() -> list[Envelope]:
        parts: Any = SimpleNamespace(database=database, source="shipway/monitor", relay=SimpleNamespace(wake=lambda: 0))
        await Watch(parts).step()
        found: list[Envelope] = await outgoing()
        return found

    return look


def promoted(version: int, previous: int | None) -> e.ReleasePromoted:
    return e.ReleasePromoted(
        model="m",
        version=version,
        previous_version=previous,
        digest="d",
        release_id="r",
        generation=version,
        reason="",
    )


async def declare(put: Put, raw_spec: Callable[..., dict[str, Any]]) -> None:
    await put(e.ModelDeclared(model="m", spec=raw_spec(), declared_by="ann"))


async def test_an_old_unused_version_is_retired_once_in_its_trace(
    step: Put, put: Put, raw_spec: Callable[..., dict[str, Any]]
) -> None:
    await declare(put, raw_spec)
    for version, days, letter in ((1, 90, "1"), (2, 60, "2"), (3, 50, "3")):
        await put(promoted(version, version - 1 or None), NOW - days * DAY, trace=letter)
    await step()
    (said,) = await step()
    assert isinstance(said.payload, e.ModelRetired)
    assert (said.payload.version, said.payload.policy) == (1, "age-and-unused")
    assert trace.trace_id(said.traceparent) == "1" * 32


async def test_a_failing_champion_is_degraded_once(
    step: Put,
    put: Put,
    raw_spec: Callable[..., dict[str, Any]],
    record: Callable[..., Any],
    log: Put,
) -> None:
    await declare(put, raw_spec)
    await put(promoted(1, None), NOW - DAY)
    await log([record("refused", 1, datetime.now(UTC)) for _ in range(100)])
    await log([record("answered", 1, datetime.now(UTC)) for _ in range(90)])
    assert await step() == []
    await log([record("failed", 1, datetime.now(UTC)) for _ in range(10)])
    await step()
    (said,) = await step()
    assert isinstance(said.payload, e.ModelDegraded)
    assert (said.payload.version, said.payload.value) == (1, 0.1)
    assert said.payload.reason.startswith("10 of 100 requests failed")


async def test_an_undeclared_model_is_left_alone(step: Put, put: Put) -> None:
    await put(promoted(1, None), NOW - 90 * DAY)
    await put(promoted(2, 1), NOW - 80 * DAY)
    assert await step() == []
