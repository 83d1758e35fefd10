"""Trainings by schedule: at their time, in their zone, once; what was missed and what overlaps by the model's rule."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.envelope import decode
from shipway.contract.events import TrainingFailed, TrainingRequested
from shipway.contract.spec import InvalidSpec, Schedule, parse_spec, to_builtins
from shipway.runtime.database import Database
from shipway.runtime.delivery import outbox
from shipway.trainer import handlers
from shipway.trainer.schedule import ON_TIME, Planned, due
from shipway.trainer.scheduler import Scheduler
from shipway.trainer.tables import declarations, jobs
from shipway.trainer.worker import Worker
from shipway.trainer.workplace import Workplace

Request = Callable[..., Awaitable[None]]
DAILY = Schedule(cron="30 2 * * *")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
SLOT = datetime(2026, 1, 2, 2, 30, tzinfo=UTC)
MOMENTS = st.integers(0, 6 * 24 * 60).map(lambda minutes: T0 + timedelta(minutes=minutes))


def planned(**changes: Any) -> Planned:
    return replace(Planned("m", DAILY, declared_at=T0 + timedelta(hours=12)), **changes)


def test_a_training_is_due_from_its_time_on() -> None:
    assert due(planned(), SLOT - timedelta(seconds=1)) is None
    assert due(planned(), SLOT) == SLOT
    assert due(planned(), SLOT + timedelta(seconds=59)) == SLOT
    assert due(planned(worked_at=SLOT + timedelta(seconds=3)), SLOT + timedelta(seconds=5)) is None
    assert due(planned(declared_at=SLOT), SLOT) is None


def test_a_time_is_that_of_its_zone_over_the_change_of_summer_time() -> None:
    berlin = planned(schedule=Schedule(cron="30 2 * * *", timezone="Europe/Berlin"), declared_at=T0)
    assert due(berlin, datetime(2026, 1, 10, 1, 30, tzinfo=UTC)) == datetime(2026, 1, 10, 1, 30, tzinfo=UTC)
    assert due(berlin, datetime(2026, 7, 10, 0, 30, tzinfo=UTC)) == datetime(2026, 7, 10, 0, 30, tzinfo=UTC)
    # 2:30 is left out on 29 March; what was meant for it comes by the end of that hour.
    left_out = due(berlin, datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    assert left_out is not None
    assert left_out > datetime(2026, 3, 29, 0, 59, tzinfo=UTC)


def test_what_was_missed_is_made_up_for_once_or_not_at_all() -> None:
    late = SLOT + timedelta(days=3, hours=1)
    assert due(planned(), late) == SLOT + timedelta(days=3)
    skipping = Schedule(cron=DAILY.cron, missed="skip")
    assert due(planned(schedule=skipping), late) is None
    assert due(planned(schedule=skipping), SLOT + ON_TIME) == SLOT


def test_a_time_during_a_job_passes_or_waits_in_line() -> None:
    began = SLOT - timedelta(hours=1)
    now = SLOT + timedelta(seconds=5)
    assert due(planned(busy=True, worked_at=began, asked_at=began), now) is None
    ended = planned(worked_at=SLOT + timedelta(hours=1), asked_at=began)
    assert due(ended, SLOT + timedelta(hours=2)) is None
    queueing = Schedule(cron=DAILY.cron, overlap="queue")
    assert due(planned(schedule=queueing, busy=True, worked_at=began, asked_at=began), now) == SLOT


@given(moments=st.lists(MOMENTS, min_size=1, max_size=60), missed=st.sampled_from(["run_once", "skip"]))
def test_no_time_is_asked_for_twice_and_none_before_it_came(moments: list[datetime], missed: Any) -> None:
    """However often and late a trainer looks: each time once at most, in order, and after the declaration."""
    schedule = Schedule(cron="0 */6 * * *", missed=missed)
    asked: list[datetime] = []
    worked_at = None
    for now in sorted(moments):
        slot = due(planned(schedule=schedule, declared_at=T0, worked_at=worked_at, asked_at=worked_at), now)
        if slot is not None:
            assert T0 < slot <= now
            asked.append(slot)
            worked_at = now
    assert asked == sorted(set(asked))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"cron": "30 2 * *"}, "schedule.cron: must be five fields"),
        ({"cron": "30 2 * * * *"}, "schedule.cron: must be five fields"),
        ({"cron": "61 2 * * *"}, "schedule.cron: is no cron expression"),
        ({"cron": "30 2 * * *", "timezone": "Mars/Olympus"}, "schedule.timezone: 'Mars/Olympus' is not a time zone"),
        ({"cron": "30 2 * * *", "timezone": "../etc/passwd"}, "schedule.timezone"),
        ({"timezone": "UTC"}, "schedule.cron: is required"),
        ({"cron": "30 2 * * *", "overlap": "both"}, "schedule.overlap"),
    ],
)
def test_a_wrong_schedule_is_refused_in_words(
    raw_spec: Callable[..., dict[str, Any]], schedule: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSpec, match=words):
        parse_spec(raw_spec(schedule=schedule))


def test_without_a_schedule_a_release_before_reads_the_spec(raw_spec: Callable[..., dict[str, Any]]) -> None:
    raw = to_builtins(parse_spec(raw_spec()))
    assert not {"schedule", "checks", "stages"} & set(raw)
    assert "requests" not in raw["training"]


async def asked_for(database: Database) -> list[TrainingRequested]:
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.seq))).all()
    events = [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])) for r in rows]
    return [event.payload for event in events if isinstance(event.payload, TrainingRequested)]


async def test_two_trainers_ask_for_one_job(
    place: Workplace, database: Database, request_training: Request, envelope: Any
) -> None:
    await request_training(schedule={"cron": "* * * * *"})
    async with database.begin() as tx:
        await tx.execute(sa.update(declarations).values(declared_at=sa.func.now() - timedelta(hours=2)))
        over = {"state": "completed", "created_at": sa.func.now() - timedelta(hours=1)}
        await tx.execute(sa.update(jobs).values(**over))
    one, other = Scheduler(place.parts), Scheduler(place.parts)
    await one.step()
    await one.step()
    await other.step()
    asked = await asked_for(database)
    assert {a.request_id[:19] for a in asked} == {f"schedule:m:{datetime.now(UTC):%Y-%m-%d}"[:19]}
    assert 2 <= len(asked) <= 3  # a minute may have passed in between
    async with database.begin() as tx:
        for request in asked:
            await handlers.on_training_requested(tx, request, envelope(request))
    async with database.begin() as tx:
        made = (await tx.execute(sa.select(sa.func.count()).select_from(jobs))).scalar_one()
    assert made == 1 + len({a.request_id for a in asked})
    assert not await Scheduler(place.parts).step()
    assert len(await asked_for(database)) == len(asked)


async def test_a_search_does_not_stand_for_the_training_that_is_due(
    place: Workplace, database: Database, request_training: Request, request_search: Request
) -> None:
    await request_training(schedule={"cron": "* * * * *"})
    await request_search()
    async with database.begin() as tx:
        await tx.execute(sa.update(declarations).values(declared_at=sa.func.now() - timedelta(hours=2)))
        long_ago = {"state": "completed", "created_at": sa.func.now() - timedelta(hours=1)}
        await tx.execute(sa.update(jobs).where(jobs.c.origin == "training").values(**long_ago))
    await Scheduler(place.parts).step()
    assert await asked_for(database)


async def test_requests_that_wait_for_the_same_data_are_joined_where_the_model_file_says_so(
    place: Workplace, database: Database, request_training: Request
) -> None:
    for request_id in ("r1", "r2", "r3"):
        await request_training(request_id, training={"requests": "join"})
    for request_id in ("s1", "s2"):
        await request_training(request_id, "n")
    await Worker(place).step()
    async with database.begin() as tx:
        rows = (await tx.execute(sa.select(jobs))).all()
    states = {row.request_id: row.state for row in rows}
    assert states == {"r1": "cancelled", "r2": "cancelled", "r3": "completed", "s1": "queued", "s2": "queued"}
    async with database.begin() as tx:
        sent = (await tx.execute(sa.select(outbox))).all()
    events = [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])) for r in sent]
    failed = [event.payload for event in events if isinstance(event.payload, TrainingFailed)]
    assert {f.reason for f in failed} == {"joined with the later request r3"}
