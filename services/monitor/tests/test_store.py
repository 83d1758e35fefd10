"""The monitor's tables on a real PostgreSQL: history, views, usage, labels; late and unstorable ones too."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.contract.errors import Permanent
from shipway.monitor import reading, store
from shipway.monitor.tables import events, history_staged, label_counts, labels, metadata, usage, versions, window_parts
from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Put = Callable[..., Awaitable[None]]
Record = Callable[..., Any]
RELEASE: dict[str, Any] = {"model": "m", "release_id": "r", "generation": 1, "digest": "d", "reason": "why"}


def promoted(version: int, previous: int | None) -> e.ReleasePromoted:
    return e.ReleasePromoted(version=version, previous_version=previous, **RELEASE | {"generation": version})


async def shown(database: Database) -> tuple[int | None, int | None, dict[int, str]]:
    async with database.begin() as tx:
        found = await reading.model(tx, "m")
    assert found is not None
    return found["champion"], found["last_good"], {v["version"]: v["state"] for v in found["versions"]}


async def test_migrations_go_up_and_down_and_match_the_tables(database: Database) -> None:
    def look(connection: sa.Connection) -> dict[str, tuple[list[Any], set[Any]]]:
        inspect = sa.inspect(connection)
        return {
            t: (
                [(c["name"], bool(c["nullable"])) for c in inspect.get_columns(t, "monitor")],
                {i["name"] for i in inspect.get_indexes(t, "monitor") if "duplicates_constraint" not in i},
            )
            for t in inspect.get_table_names("monitor")
        }

    async with database.begin() as tx:
        found = await tx.run_sync(look)
    for table in metadata.sorted_tables:
        assert found[table.name][0] == [(c.name, c.nullable) for c in table.columns]
        assert found[table.name][1] == {i.name for i in table.indexes}
    await migrate(database, "shipway.monitor", "base")
    async with database.begin() as tx:
        assert set(await tx.run_sync(look)) == {"alembic_version"}
    await migrate(database, "shipway.monitor")


async def test_promotions_that_come_late_leave_one_champion(database: Database, put: Put) -> None:
    await put(promoted(1, None), T0)
    await put(promoted(2, 1), T0 + HOUR)
    await put(promoted(1, None), T0)
    assert await shown(database) == (2, 1, {1: "last_good", 2: "champion"})


@pytest.mark.parametrize("order", list(permutations(range(4)))[::3])
async def test_a_broker_that_lost_its_data_and_is_told_all_again_leaves_one_champion(
    database: Database, put: Put, order: tuple[int, ...]
) -> None:
    release = RELEASE | {"generation": 3}
    told = [
        promoted(1, None),
        promoted(2, 1),
        e.ReleaseRolledBack(version=2, champion_version=1, champion_digest="d", **release),
        promoted(4, 1),
    ]
    for n in order:
        await put(told[n], T0 + n * HOUR)
    assert await shown(database) == (4, 1, {1: "last_good", 2: "rolled_back", 4: "champion"})


async def test_a_releaser_whose_clock_was_set_back_is_believed(database: Database, put: Put) -> None:
    """By its generations; and an old event that is sent again is none the newer for it."""
    loading = e.ReleaseProgressed(
        model="m",
        version=2,
        release_id="r",
        from_state="approved",
        to_state="loading",
        candidate_share=0.0,
        generation=2,
        reason="why",
    )
    await put(promoted(1, None), T0)
    await put(loading, T0 + HOUR)
    await put(promoted(2, 1), T0 + HOUR / 60)
    assert await shown(database) == (2, 1, {1: "last_good", 2: "champion"})
    await put(promoted(3, 2), T0 + HOUR / 30)
    await put(promoted(1, None), T0)
    assert await shown(database) == (3, 2, {1: "standby", 2: "last_good", 3: "champion"})


async def test_a_rolled_back_champion_gives_the_last_good_its_place(database: Database, put: Put) -> None:
    await put(promoted(1, None), T0)
    await put(promoted(2, 1), T0 + HOUR)
    release = RELEASE | {"generation": 3}
    await put(e.ReleaseRolledBack(version=2, champion_version=1, champion_digest="d", **release), T0 + 2 * HOUR)
    await put(e.ModelRetired(model="m", version=1, policy="p", reason="too late"), T0 + 3 * HOUR)
    assert await shown(database) == (1, None, {1: "champion", 2: "rolled_back"})
    async with database.begin() as tx:
        left = {v.version: v.left_at for v in await store.served_versions(tx, "m")}
    assert left == {1: T0 + HOUR, 2: T0 + 2 * HOUR}


async def test_who_is_champion_is_known_however_long_ago_that_was_told(database: Database, put: Put) -> None:
    await put(promoted(1, None), T0)
    await put(promoted(2, 1), T0 + HOUR)
    later = T0 + timedelta(days=500)
    async with database.begin() as tx:
        await store.forget_before(tx, later)
    release = RELEASE | {"generation": 3}
    await put(e.ReleaseRolledBack(version=3, champion_version=2, champion_digest="d", **release), later)
    assert await shown(database) == (2, 1, {1: "last_good", 2: "champion", 3: "rolled_back"})


async def test_what_a_late_request_says_is_added(database: Database, put: Put) -> None:
    await put(e.TrainingProgressed(model="m", request_id="r", stage="training", fraction=0.5), T0 + HOUR)
    await put(e.TrainingProgressed(model="m", request_id="r", stage="reading", fraction=0.1), T0)
    await put(e.TrainingRequested(model="m", request_id="r", reason="nightly"), T0)
    async with database.begin() as tx:
        found = await reading.request(tx, "r")
        kept = (await tx.execute(sa.select(events.c.payload["stage"].astext).order_by(events.c.id))).scalars().all()
    assert found is not None
    assert (found["state"], found["stage"], found["fraction"]) == ("training", "training", 0.5)
    assert (found["reason"], found["changed_at"]) == ("nightly", T0 + HOUR)
    assert "training" in kept


async def test_the_history_keeps_the_newest_progress_and_each_event_once(database: Database, put: Put) -> None:
    for n in range(5):
        await put(e.TrainingProgressed(model="m", request_id="r", stage="s", fraction=n / 5), T0 + n * HOUR)
    for _ in range(2):
        await put(e.TrainingAccepted(model="m", request_id="r"), event_id="same")
    async with database.begin() as tx:
        found = await reading.history(tx, model="m", kind=None, trace_id=None, after=0, limit=100)
    assert [(r["type"], r["payload"].get("fraction")) for r in found] == [
        (e.TrainingProgressed.type, 0.8),
        (e.TrainingAccepted.type, None),
    ]


async def test_an_event_that_the_history_has_changes_nothing(database: Database, put: Put) -> None:
    await put(e.TrainingAccepted(model="m", request_id="r"), event_id="same")
    await put(e.TrainingFailed(model="m", request_id="r", stage="s", reason="why", attempts=1), event_id="same")
    async with database.begin() as tx:
        found = await reading.request(tx, "r")
    assert found is not None and found["state"] == "accepted"


async def test_usage_adds_up_over_batches(database: Database, put: Put, record: Record, log: Put) -> None:
    await put(promoted(1, None), T0)
    await log([record(), record(version=2, latency_us=30), record("failed", 1), record("refused", None)])
    await log([record(at=T0 + HOUR), record(latency_us=99), record(version=2, latency_us=50)])
    async with database.begin() as tx:
        found = await reading.model_usage(tx, "m")
        used = {r.version: r.last_used for r in (await tx.execute(sa.select(versions))).all()}
        assert await store.outcomes_since(tx, "m", 1, T0 + HOUR) == {"answered": 1}
    assert found is not None
    assert {v: (c["answered"], c["failed"], c["refused"]) for v, c in found["versions"].items()} == {
        "0": (0, 0, 1),
        "1": (3, 1, 0),
        "2": (2, 0, 0),
    }
    assert (found["versions"]["2"]["mean_latency_us"], found["versions"]["1"]["max_latency_us"]) == (40, 99)
    assert used == {1: T0 + HOUR, 2: T0}  # version 2 is used before anything else was heard of it


async def test_what_a_shadow_answered_is_kept_and_counts_for_nobody(
    database: Database, record: Record, log: Put
) -> None:
    await log([record(), record(version=2, role="shadow"), record("failed", 2, role="shadow")])
    async with database.begin() as tx:
        used = (await tx.execute(sa.select(usage.c.version, usage.c["count"]))).all()
        staged = (await tx.execute(sa.select(sa.func.sum(history_staged.c.rows)))).scalar_one()
        counted = (await tx.execute(sa.select(window_parts.c.version))).scalars().all()
    assert [tuple(row) for row in used] == [(1, 1)]
    assert (staged, counted) == (3, [1])


async def test_a_differing_label_replaces_unless_observed_earlier(database: Database, put: Put) -> None:
    def told(label: str, hours: int, model: str = "m") -> e.FeedbackReceived:
        return e.FeedbackReceived(model=model, prediction_id="p", label=label, observed_at=T0 + hours * HOUR)

    for feedback in (told("a", 1), told("a", 2), told("b", 3), told("c", 0), told("d", 9, "other")):
        await put(feedback)
    async with database.begin() as tx:
        kept = (await tx.execute(sa.select(labels.c.model, labels.c.label, labels.c.times))).all()
        counts = (await tx.execute(sa.select(label_counts).order_by("model", "what"))).all()
    assert kept == [("m", "b", 2)]
    assert [row for row in counts if row.model == "m"] == [
        ("m", "conflicting", 2),
        ("m", "doubled", 1),
        ("m", "received", 4),
    ]
    assert [row[1:] for row in counts if row.model == "other"] == [("misdirected", 1), ("received", 1)]


async def test_what_cannot_be_stored_is_refused(put: Put) -> None:
    for event in (
        e.TrainingRequested(model="m", request_id="r", reason="\x00"),
        e.ReleaseSuperseded(model="m", version=2**31, release_id="r", by_version=3),
        e.FeedbackReceived(model="m", prediction_id="\x00", label=1, observed_at=T0),
    ):
        with pytest.raises(Permanent, match="can't be stored"):
            await put(event)


async def test_a_bad_batch_is_refused_and_counts_nothing(database: Database, record: Record, log: Put) -> None:
    for bad in (record(model="\x00"), record("lost")):
        with pytest.raises(Permanent):
            await log([record(), bad])
    async with database.begin() as tx:
        assert await store.outcomes_since(tx, "m", 1, T0) == {}
