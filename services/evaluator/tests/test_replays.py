"""Replays on request, with real bundles, a real history, real child processes and a real PostgreSQL."""

import asyncio
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import ReplayCompleted, ReplayFailed, ReplayRequested
from shipway.contract.history import history_key, labels_key
from shipway.evaluator.handlers import handlers
from shipway.evaluator.replaying import CHILD, Replayer
from shipway.evaluator.replays import Limits, ended, of_unknown, refusal
from shipway.evaluator.settings import ReplaySettings
from shipway.evaluator.tables import replays

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = ReplaySettings(wait_s=0.01, max_rows=1000, max_days=10, max_waiting=2, time_limit_s=60)
ENDS = ["done", "permanent", "transient", "crashed", "timed_out"]


def asked(command_id: str = "c1", version: int = 1, **changes: Any) -> ReplayRequested:
    said: dict[str, Any] = {"start": T0, "end": T0 + DAY, "limit": 500, "reason": "to see", "requested_by": "bob"}
    return ReplayRequested(model="m", command_id=command_id, version=version, **(said | changes))


async def ask(room: Any, command: ReplayRequested) -> None:
    """Hands the command to its handler, as the consumer would."""
    async with room.database.begin() as tx:
        event = Envelope(command.command_id, "shipway/monitor", T0, command)
        await handlers(SETTINGS.limits)[ReplayRequested](tx, command, event)


def replayer(room: Any, child: str = CHILD, settings: ReplaySettings = SETTINGS) -> Replayer:
    judge = room.judge()
    return Replayer(judge._parts, judge._court, settings, child)


def under_way() -> bool:
    """Whether the process that makes a replay runs."""
    ours = (one.info for one in psutil.process_iter(["ppid", "cmdline"]) if one.info["ppid"] == os.getpid())
    return any(CHILD in (one["cmdline"] or ()) for one in ours)


async def due(room: Any) -> None:
    """Ends every pause."""
    async with room.database.begin() as tx:
        await tx.execute(sa.update(replays).values(not_before=sa.func.now()))


def put_history(room: Any, rows: int = 200) -> None:
    """A day of predictions of version 1 that said 0.5 to each, every second one with its label."""
    at = pa.array([T0 + timedelta(minutes=i) for i in range(rows)], pa.timestamp("us", "UTC"))
    n = np.random.default_rng(5).normal(size=rows)
    predictions = {
        "prediction_id": [f"p{i}" for i in range(rows)],
        "at": at,
        "version": pa.array([1] * rows, pa.int32()),
        "role": ["champion"] * rows,
        "instance": ["i"] * rows,
        "outcome": ["answered"] * rows,
        "latency_us": pa.array([2000] * rows, pa.int64()),
        "feature.n": n,
        "scores": pa.array([[0.5]] * rows),
    }
    labels = {"prediction_id": predictions["prediction_id"][::2], "label": [str(v > 0).lower() for v in n[::2]]}
    for key, columns in (
        (history_key("m", T0.date(), "a"), predictions),
        (labels_key("m", T0.date()), labels | {"received_at": at[::2]}),
    ):
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        room.store.put(key, sink.getvalue())


async def test_a_version_is_asked_again_and_the_comparison_is_told_once(room: Any) -> None:
    digest = room.version()
    await room.completed(digest)
    put_history(room)
    await ask(room, asked())
    await ask(room, asked())
    made = replayer(room)
    assert await made.step()
    assert not await made.step()
    (told,) = await room.told()
    assert isinstance(told, ReplayCompleted)
    assert (told.model, told.version, told.command_id, told.digest) == ("m", 1, "c1", digest)
    assert (told.rows, told.answered_by, told.left_out) == (200, {"1": 200}, {})
    assert (told.first_at, told.last_at) == (T0, T0 + timedelta(minutes=199))
    assert 0 < told.scores.mean_absolute <= told.scores.p95_absolute <= told.scores.max_absolute < 0.5
    assert told.quality.labelled == 100
    assert told.quality.replayed["log_loss"] < told.quality.logged["log_loss"] == pytest.approx(np.log(2))
    assert told.latency_ms.logged == {"p50": 2.0, "p95": 2.0, "p99": 2.0} and told.latency_ms.replayed
    assert told.decisions is not None and told.decisions.changed == sum(move.rows for move in told.decisions.moves)
    assert (told.reason, told.requested_by) == ("to see", "bob")


async def test_what_can_not_be_replayed_is_told_with_the_reason(room: Any) -> None:
    await room.completed(room.version())
    await ask(room, asked())
    await room.completed("0" * 64, version=2)
    await ask(room, asked("c2", version=2))
    made = replayer(room)
    assert await made.step() and await made.step()
    nothing, missing = await room.told()
    assert isinstance(nothing, ReplayFailed) and isinstance(missing, ReplayFailed)
    assert nothing.reason.startswith("no prediction of m can be replayed in 2026-01-01 00:00 to 2026-01-02 00:00")
    assert (missing.version, missing.requested_by) == (2, "bob")
    assert "bundles/000" in missing.reason


async def test_what_is_too_much_is_refused_once_with_the_remedy(room: Any) -> None:
    for _ in range(2):
        await ask(room, asked("rows", limit=1001))
        await ask(room, asked("days", end=T0 + 11 * DAY))
    for name in ("a", "b", "c"):
        await ask(room, asked(name))
    reasons = {told.command_id: told.reason for told in await room.told()}
    assert set(reasons) == {"rows", "days", "c"}
    assert reasons["rows"].startswith("limit: 1,001 predictions are asked for, 1,000 are allowed")
    assert reasons["days"].startswith("start: more than 10 days")
    assert reasons["c"].startswith("2 replays wait already")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0),
        ("version", 2**31),
        ("limit", 0),
        ("command_id", ""),
        ("command_id", "x" * 201),
        ("reason", "a\x00b"),
        ("requested_by", ""),
        ("start", datetime(2026, 1, 1)),
        ("end", datetime(9999, 1, 1, tzinfo=UTC)),
        ("end", T0),
    ],
)
async def test_a_command_that_can_not_be_obeyed_is_refused_by_name(room: Any, field: str, value: Any) -> None:
    said: dict[str, Any] = {"command_id": "c1", "version": 1} | {field: value}
    with pytest.raises(InvalidField, match="before end" if (field, value) == ("end", T0) else field):
        await ask(room, asked(**said))


async def test_a_version_that_is_not_heard_of_yet_is_waited_for(room: Any) -> None:
    put_history(room)
    await ask(room, asked())
    made = replayer(room)
    assert await made.step() and await room.told() == []
    await room.completed(room.version())
    await due(room)
    assert await made.step()
    assert isinstance((await room.told())[0], ReplayCompleted)
    await ask(room, asked("c9", version=9))
    async with room.database.begin() as tx:
        await tx.execute(sa.update(replays).values(received_at=sa.func.now() - timedelta(minutes=1)))
    assert await made.step()
    failed = (await room.told())[1]
    assert isinstance(failed, ReplayFailed) and failed.reason == "the evaluator does not know version 9"


async def test_a_process_that_dies_is_tried_once_more(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    await room.completed(room.version())
    await ask(room, asked())
    made = replayer(room, "evaluator_crash")
    assert await made.step() and await room.told() == []
    await due(room)
    assert await made.step()
    (failed,) = await room.told()
    assert isinstance(failed, ReplayFailed)
    assert failed.reason == "the process was ended by SIGSEGV; tried 2 times"


async def test_a_stop_in_the_middle_leaves_it_to_be_made_anew(room: Any) -> None:
    await room.completed(room.version())
    put_history(room)
    await ask(room, asked())
    first = replayer(room)
    making = asyncio.create_task(first.step())
    async with asyncio.timeout(20):
        while not under_way():
            await asyncio.sleep(0.01)
    await first.stop()
    assert not await making and await room.told() == []
    assert await replayer(room).step()
    assert len(await room.told()) == 1


async def test_one_that_takes_too_long_is_ended_and_told(room: Any) -> None:
    await room.completed(room.version())
    put_history(room)
    await ask(room, asked())
    assert await replayer(room, settings=ReplaySettings(time_limit_s=0.01)).step()
    (failed,) = await room.told()
    assert isinstance(failed, ReplayFailed) and failed.reason.startswith("took longer than 0.01 s; ask for fewer")


@given(kind=st.sampled_from(ENDS), crashes=st.integers(0, 5), allowed=st.integers(0, 5))
def test_only_an_outage_may_be_waited_out_for_ever(kind: str, crashes: int, allowed: int) -> None:
    end = ended(kind, "why", crashes, allowed)
    assert (end.kind == "completed") == (kind == "done")
    assert end.kind != "later" or kind == "transient" or (end.crashed and crashes < allowed)
    assert end.kind != "failed" or end.reason.startswith("why")


@given(age_s=st.floats(0, 1000))
def test_an_unknown_version_is_waited_for_and_not_for_ever(age_s: float) -> None:
    assert of_unknown(1, T0, T0 + timedelta(seconds=age_s)).kind == ("later" if age_s < 30 else "failed")


@given(limit=st.integers(1, 2000), days=st.integers(1, 20), waiting=st.integers(0, 5))
def test_what_is_within_the_limits_is_taken(limit: int, days: int, waiting: int) -> None:
    why = refusal(asked(limit=limit, end=T0 + days * DAY), waiting, Limits(1000, 10, 3))
    assert bool(why) == (limit > 1000 or days > 10 or waiting >= 3)
