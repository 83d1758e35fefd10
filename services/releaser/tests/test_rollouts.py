"""The tables, the handlers and the loop on a real PostgreSQL: what is decided is stored and told together."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
import sqlalchemy as sa

from shipway.contract import events as e
from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent, Transient
from shipway.releaser import handlers
from shipway.releaser.republish import republish
from shipway.releaser.rollouts import READ_ANEW, Rollouts
from shipway.releaser.saving import save
from shipway.releaser.serving import Serving
from shipway.releaser.settings import RolloutSettings
from shipway.releaser.stored import load, take
from shipway.releaser.tables import metadata, releases
from shipway.runtime import delivery, trace
from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate
from shipway.runtime.parts import Parts

START = datetime(2026, 1, 1, tzinfo=UTC)
TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
SIGNATURE = {"features": [{"name": "x", "type": "number"}], "output": "regression", "target": "y"}


@dataclass
class World:
    """The releaser's loop with a clock and a presence table of the test's own."""

    database: Database
    now: datetime = START
    values: dict[str, e.Presence] = field(default_factory=dict)
    envelopes: dict[str, Envelope] = field(default_factory=dict)
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    problem: str | None = None
    source: str = "shipway/releaser"
    sent: list[tuple[str, e.Payload]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caught_up.set()
        self.rollouts = Rollouts(cast(Any, self), cast(Any, self), RolloutSettings(), clock=lambda: self.now)

    @property
    def relay(self) -> "World":
        return self

    @property
    def producer(self) -> "World":
        return self

    def wake(self) -> None:
        """As the relay's."""

    async def publish(self, _source: str, payload: e.Payload, *, event_id: str, traceparent: str | None) -> None:
        """As the producer's."""
        self.sent.append((event_id, payload))

    def says(self, name: str, *held: int, state: str = "ready", **counts: Any) -> None:
        """The instance reports that it holds these versions of every model in the tests."""
        loaded = [
            e.LoadedVersion(model=model, version=n, digest=digest(n), state=cast(Any, state), **counts)
            for n in held
            for model in ("flights", "taxis")
        ]
        presence = e.Presence(
            instance=name, url="http://x", started_at=START, library_versions={}, generations={}, versions=loaded
        )
        self.values[name] = presence
        self.envelopes[name] = Envelope("1", "shipway/predictor", self.now, presence)

    async def hears(self, event: e.Event, traceparent: str = TRACE) -> None:
        """Handles an event as the consumer does."""
        envelope = Envelope("1", "shipway/test", self.now, event, traceparent)
        with trace.within(traceparent):
            async with self.database.begin() as tx:
                await cast(Any, handlers.HANDLERS[type(event)])(tx, event, envelope)
        self.rollouts.changed()

    async def outbox(self) -> list[Envelope]:
        """What is to be published, in order."""
        async with self.database.begin() as tx:
            rows = (await tx.execute(sa.select(delivery.outbox).order_by(delivery.outbox.c.seq))).all()
        return [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])) for r in rows]

    async def told(self) -> list[str]:
        return [type(x.payload).__name__ for x in await self.outbox()]

    async def desired(self) -> e.DesiredState:
        return [x.payload for x in await self.outbox() if isinstance(x.payload, e.DesiredState)][-1]


def digest(number: int) -> str:
    return f"{number:064x}"


def approval(version: int, model: str = "flights", **changes: Any) -> e.ModelApproved:
    values: dict[str, Any] = {
        "model": model,
        "version": version,
        "digest": digest(version),
        "request_id": "r",
        "gates": [],
        "metrics": {},
        "champion_version": None,
        "champion_metrics": {},
        "signature": SIGNATURE,
        "release": {"canary": [0.2], "step": "10s", "min_requests": 4},
        "prediction_log": {"sample": 0.5, "redact": []},
    }
    return e.ModelApproved(**(values | changes))


def measured(version: int, labelled: int, loss_sum: float, ndcg_at: int | None = None) -> e.QualityMeasured:
    return e.QualityMeasured(
        ndcg_at=ndcg_at,
        model="flights",
        version=version,
        labelled=labelled,
        loss_sum=loss_sum,
        loss_square_sum=0.0,
        predictions=labelled,
        window_from=START,
        window_to=START,
        measured_at=START,
    )


@pytest.fixture
async def world(open_database: Callable[[str], Awaitable[Database]]) -> World:
    return World(await open_database("releaser"))


async def test_a_version_is_released_promoted_and_retired(world: World) -> None:
    await world.hears(approval(1))
    await world.rollouts.step()
    desired = await world.desired()
    assert [(v.version, v.role, v.digest, v.prediction_log) for v in desired.versions] == [
        (1, "candidate", digest(1), {"sample": 0.5, "redact": []})
    ]
    assert desired.versions[0].signature == SIGNATURE
    world.says("p", 1)
    await world.rollouts.step()
    assert (await world.desired()).traffic == [e.Traffic(version=1, share=1.0)]

    await world.hears(approval(2))
    world.says("p", 1, 2)
    await world.rollouts.step()
    assert (await world.desired()).traffic == [e.Traffic(version=1, share=0.8), e.Traffic(version=2, share=0.2)]
    world.now += timedelta(seconds=10)
    world.says("p", 1, 2, answered=5)
    await world.rollouts.step()
    await world.hears(e.ModelRetired(model="flights", version=1, policy="age-and-unused", reason="31 days old"))
    world.now += timedelta(seconds=2)
    world.says("p", 1, 2, answered=6)
    await world.rollouts.step()
    assert [(v.version, v.role) for v in (await world.desired()).versions] == [(2, "champion"), (1, "last_good")]
    await world.hears(approval(3, release={"canary": []}))
    world.says("p", 1, 2, 3)
    await world.rollouts.step()
    assert [(v.version, v.role) for v in (await world.desired()).versions] == [(3, "champion"), (2, "last_good")]
    generations = [x.payload.generation for x in await world.outbox() if isinstance(x.payload, e.DesiredState)]
    assert generations == sorted(set(generations))


async def test_events_go_with_the_change_under_the_trace_of_the_approval(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    sent = await world.outbox()
    assert [type(x.payload).__name__ for x in sent] == [
        "ReleaseProgressed",
        "ReleaseProgressed",
        "ModelReleased",
        "ReleasePromoted",
        "DesiredState",
    ]
    assert {trace.trace_id(x.traceparent) for x in sent} == {"ab" * 16}
    assert sent[-1].id == "flights-2"


def statements_of(world: World) -> list[str]:
    """Every statement from now on."""
    seen: list[str] = []
    engine = world.database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cur, statement, *_rest: seen.append(statement))
    return seen


async def test_what_instances_say_is_held_against_what_was_read(world: World) -> None:
    await world.hears(approval(1))
    await world.rollouts.step()
    await world.rollouts.step()
    statements = statements_of(world)
    world.says("p", 1, state="loading")
    await world.rollouts.step()
    assert not statements
    world.says("p", 1)
    await world.rollouts.step()
    assert (await world.desired()).traffic == [e.Traffic(version=1, share=1.0)]


async def test_what_was_written_is_known_without_reading_it(world: World) -> None:
    async def steps() -> None:
        await world.rollouts.step()
        async with world.database.begin() as tx:
            assert list(world.rollouts._read.values()) == await load(tx)
        statements = statements_of(world)
        await world.rollouts.step()
        assert not statements

    for version in (1, 2, 3):
        await world.hears(approval(version))
        await steps()
        world.says("p", *range(1, version + 1))
        await steps()
        world.now += timedelta(seconds=10)
        world.says("p", *range(1, version + 1), answered=5)
        await steps()
        world.now += timedelta(seconds=10)
        world.says("p", *range(1, version + 1), answered=10)
        await steps()
    for order in (command("freeze"), command("retire", 1), command("pin", 2), command("unfreeze", 2)):
        await world.hears(order)
        world.now += timedelta(seconds=1)
        world.says("p", 1, 2, 3, answered=10)
        await steps()
    await world.hears(e.ModelDegraded(model="flights", version=3, figure="x", value=1, limit=0, reason="y"))
    await steps()
    for version in (1, 2):
        await world.hears(command("restore", version, command_id=f"restore-{version}"))
        await steps()
    assert len(world.rollouts._read["flights"].model.versions) == 3


async def test_what_may_have_been_written_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.hears(approval(1))
    await world.rollouts.step()
    world.says("p", 1)

    def lost() -> None:
        raise Transient("it is committed, and the answer does not come")

    with monkeypatch.context() as patched, pytest.raises(Transient):
        patched.setattr(world, "wake", lost)
        await world.rollouts.step()
    statements = statements_of(world)
    await world.rollouts.step()
    assert statements
    assert not [statement for statement in statements if "FOR UPDATE" in statement], "nothing is due any more"
    assert len(await world.outbox()) == 6


async def test_what_another_releaser_wrote_is_seen_after_a_moment(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    await world.rollouts.step()
    other = World(world.database)
    await other.hears(approval(2, release={"canary": []}))
    world.says("p", 1, 2)
    await world.rollouts.step()
    assert len((await world.desired()).versions) == 1
    world.now += READ_ANEW
    world.says("p", 1, 2)
    await world.rollouts.step()
    assert (await world.desired()).traffic == [e.Traffic(version=2, share=1.0)]


async def test_an_approval_that_is_known_makes_no_second_release(world: World) -> None:
    await world.hears(approval(1))
    await world.hears(approval(1))
    async with world.database.begin() as tx:
        assert len((await tx.execute(sa.select(releases))).all()) == 1
    with pytest.raises(Permanent, match="digest: version 1 of flights is known with digest"):
        await world.hears(approval(1, digest=digest(7)))


def budget(level: str, state: Any, *, hold: bool = True) -> e.BudgetChanged:
    return e.BudgetChanged(
        model="flights",
        level=level,
        state=state,
        left=-1.0,
        hold_releases=hold,
        reason=f"{level} {state}",
        changed_at=START,
    )


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (approval(1, model="No Name"), "model: must be lower-case"),
        (approval(0), "version: must be 1 to"),
        (approval(2**40, digest=digest(1)), "version: must be 1 to"),
        (approval(1, digest="../../etc"), "digest: must be the 64"),
        (approval(1, signature={}), "signature: "),
        (approval(1, release={"canary": [0.5, 0.1]}), "canary: must be rising shares"),
        (approval(1, release={"min_instances": 0}), "release.min_instances: "),
        (approval(1, prediction_log={"sample": 2}), "prediction_log.sample: "),
        (measured(9, 1, 0.5), "version: flights has no approved"),
        (measured(1, 1, 1.5), "loss_sum: must be 0 to 1"),
        (e.OperatorCommand(model="m", command_id="", action="freeze"), "command_id: must be 1 to 200"),
        (e.OperatorCommand(model="m", command_id="c", action="pin", version=0), "version: must be 1 to"),
        (e.OperatorCommand(model="m", command_id="c", action="pin", reason="\x1b[2J"), "reason: must be 0 to"),
        (e.ModelRetired(model="flights", version=9, policy="x", reason="y"), "version: flights has no approved"),
        (budget("", "spent"), "level: must be 1 to 100 printable"),
        (
            e.ModelDegraded(model="flights", version=9, figure="x", value=1, limit=0, reason="y"),
            "version: flights has no approved",
        ),
    ],
)
async def test_bad_events_are_refused_with_the_field(world: World, event: e.Event, message: str) -> None:
    with pytest.raises(Permanent, match=message):
        await world.hears(event)
    await world.rollouts.step()
    assert await world.outbox() == []


def command(action: Any, version: int | None = None, **changes: Any) -> e.OperatorCommand:
    values = {"model": "flights", "command_id": f"{action}-1", "reason": "because", "requested_by": "ann"}
    return e.OperatorCommand(action=action, version=version, **(values | changes))


async def answers(world: World) -> list[tuple[str, bool, str]]:
    said = [x.payload for x in await world.outbox() if isinstance(x.payload, e.CommandAnswered)]
    return [(x.command_id, x.done, x.answer) for x in said]


async def test_an_order_is_carried_out_once_and_told_in_its_own_trace(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    await world.hears(approval(2, release={"approval": "manual", "canary": [0.2]}))
    world.says("p", 1, 2)
    await world.rollouts.step()
    assert len((await world.desired()).versions) == 1, "it waits for approval"
    own = TRACE.replace("ab" * 16, "ef" * 16)
    await world.hears(command("approve"), own)
    await world.hears(command("approve"), own)
    await world.rollouts.step()
    assert await answers(world) == [("approve-1", True, "version 2 is released when its turn comes")]
    assert [x.traceparent for x in await world.outbox() if isinstance(x.payload, e.CommandAnswered)] != [None]
    assert {
        trace.trace_id(x.traceparent) for x in await world.outbox() if isinstance(x.payload, e.CommandAnswered)
    } == {"ef" * 16}
    assert (await world.desired()).traffic[-1] == e.Traffic(version=2, share=0.2)
    await world.rollouts.step()
    assert len(await answers(world)) == 1


async def test_what_operators_said_outlives_the_process(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1, 2)
    await world.rollouts.step()
    await world.hears(approval(2, hold="found by a search"))
    await world.hears(command("pin"))
    await world.hears(command("freeze"))
    await world.rollouts.step()
    async with world.database.begin() as tx:
        (stored,) = await load(tx)
    assert stored.model.frozen is not None
    assert (stored.model.frozen.kind, stored.model.frozen.reason, stored.model.frozen.since) == (
        "freeze",
        "ann: because",
        START,
    )
    assert stored.model.releases[2].hold is not None
    assert stored.model.releases[2].hold.reason == "found by a search"
    other = World(world.database)
    other.says("p", 1, 2)
    await other.hears(command("unfreeze"))
    await other.hears(command("approve", 2))
    await other.rollouts.step()
    assert [v.version for v in (await other.desired()).versions] == [1, 2]


async def test_releases_go_on_when_every_error_budget_is_back(world: World) -> None:
    await world.hears(budget("availability", "spent"))  # of a model that is not known yet
    await world.hears(approval(1))
    world.says("p", 1, 2)
    await world.rollouts.step()
    for level in ("availability", "latency"):
        await world.hears(budget(level, "spent"))
    await world.hears(approval(2))
    for level in ("latency", "availability"):
        await world.rollouts.step()
        assert [v.version for v in (await world.desired()).versions] == [1]
        await world.hears(budget(level, "back", hold=False))
    await world.rollouts.step()
    assert [v.version for v in (await world.desired()).versions] == [1, 2]
    (answered,) = [x.payload for x in await world.outbox() if isinstance(x.payload, e.CommandAnswered)]
    assert (answered.requested_by, answered.reason) == ("shipway/monitor", "availability back")


async def test_a_version_that_is_gone_comes_back_by_order(world: World) -> None:
    for version in (1, 2, 3):
        await world.hears(approval(version, release={"canary": []}))
        world.says("p", *range(1, version + 1))
        await world.rollouts.step()
    await world.hears(command("retire", 1))
    world.now += timedelta(seconds=9)
    world.says("p", 1, 2, 3)
    await world.rollouts.step()
    assert [v.version for v in (await world.desired()).versions] == [3, 2]
    await world.hears(next(x.payload for x in await world.outbox() if isinstance(x.payload, e.ModelRetired)))
    await world.hears(command("restore", 1))
    await world.rollouts.step()
    assert [v.version for v in (await world.desired()).versions] == [3, 2, 1]


async def test_an_order_for_a_model_that_is_not_known_is_refused_at_once(world: World) -> None:
    await world.hears(command("freeze", model="nobodys"))
    assert await answers(world) == [("freeze-1", False, "no version of nobodys was ever approved")]


async def test_a_candidate_that_is_wrong_by_its_labels_is_rolled_back(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    await world.hears(measured(1, 5000, 2500.0))
    await world.hears(approval(2, release={"canary": [0.2]}))
    world.says("p", 1, 2)
    await world.rollouts.step()
    await world.hears(measured(1, 6000, 2650.0))
    await world.hears(measured(1, 5500, 2600.0))
    await world.hears(measured(2, 300, 120.0))
    await world.rollouts.step()
    back = [x.payload for x in await world.outbox() if isinstance(x.payload, e.ReleaseRolledBack)]
    assert [x.reason for x in back] == [
        "loss by labels 0.400 over 300, 0.150 of the champion 1000; 0.02 more is allowed"
    ]


async def test_losses_of_rankings_by_other_numbers_of_best_rows_are_not_compared_and_that_is_told(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    await world.hears(approval(2, release={"canary": [0.2, 0.5], "step": "10s", "min_requests": 4}))
    world.says("p", 1, 2)
    await world.rollouts.step()
    await world.hears(measured(1, 6000, 900.0, ndcg_at=10))
    await world.hears(measured(2, 6000, 2400.0, ndcg_at=5))
    world.says("p", 1, 2, answered=10)
    await world.rollouts.step()
    world.now += timedelta(seconds=10)
    world.says("p", 1, 2, answered=10)
    await world.rollouts.step()
    moved = [x.payload for x in await world.outbox() if isinstance(x.payload, e.ReleaseProgressed)][-1]
    assert (moved.version, moved.from_state, moved.to_state) == (2, "canary", "canary")
    assert moved.reason.endswith("labels are not compared: losses are by NDCG@5, the champion's by NDCG@10")
    await world.hears(measured(1, 6000, 900.0, ndcg_at=5))
    await world.rollouts.step()
    (back,) = [x.payload for x in await world.outbox() if isinstance(x.payload, e.ReleaseRolledBack)]
    assert back.reason.startswith("loss by labels 0.400 over 6000")


async def test_looking_again_writes_nothing(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    for _ in range(3):
        await world.rollouts.step()
    assert len(await world.outbox()) == 5


async def test_a_new_process_goes_on_in_the_middle_of_a_canary(world: World) -> None:
    await world.hears(approval(1))
    await world.hears(approval(2))
    world.says("p", 1, 2)
    await world.rollouts.step()
    await world.hears(approval(3))
    world.says("p", 1, 2, 3)
    await world.rollouts.step()
    world.says("p", 1, 2, 3, answered=3)
    await world.rollouts.step()
    other = World(world.database, now=START + timedelta(seconds=10))
    other.says("p", 1, 2, 3, answered=3)
    await other.rollouts.step()
    assert (await other.told())[-1] == "DesiredState"
    assert len((await other.desired()).traffic) == 2, "three answers of the four needed"
    other.says("p", 1, 2, 3, answered=4)
    await other.rollouts.step()
    assert (await other.desired()).traffic == [e.Traffic(version=3, share=1.0)]


async def test_silent_instances_are_gone_and_a_blind_releaser_does_nothing(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    world.now += timedelta(seconds=10)
    await world.rollouts.step()
    assert (await world.desired()).traffic == [], "the one instance has been silent for too long"
    world.problem = "shipway.presence: away"
    world.now += timedelta(days=1)
    await world.rollouts.step()
    assert "ReleaseRolledBack" not in await world.told()


async def test_models_do_not_wait_for_each_other(world: World) -> None:
    await world.hears(approval(1, release={"min_instances": 5}))
    await world.hears(approval(1, model="taxis"))
    world.says("p", 1)
    await world.rollouts.step()
    promoted = [x.payload.model for x in await world.outbox() if isinstance(x.payload, e.ReleasePromoted)]
    assert promoted == ["taxis"]


async def test_a_model_that_is_locked_is_left_for_later_and_holds_up_no_other(world: World) -> None:
    await world.hears(approval(1))
    await world.hears(approval(1, model="taxis"))
    world.says("p", 1)
    async with world.database.begin() as tx:
        assert await take(tx, "flights") is not None
        async with asyncio.timeout(10):
            await world.rollouts.step()
        promoted = [x.payload.model for x in await world.outbox() if isinstance(x.payload, e.ReleasePromoted)]
        assert promoted == ["taxis"], "flights is in other hands, and taxis is not"
    await world.rollouts.step()
    assert (await world.desired()).model == "flights"


async def test_every_desired_state_is_said_again_under_the_same_id(world: World) -> None:
    await world.hears(approval(1))
    await world.hears(approval(1, model="taxis"))
    await world.rollouts.step()
    await republish(cast(Parts, world))
    await republish(cast(Parts, world))
    assert [event_id for event_id, _ in world.sent] == ["flights-1", "taxis-1"] * 2
    assert world.sent[0][1] in [x.payload for x in await world.outbox()]


async def test_two_releases_of_a_model_in_progress_are_refused_by_the_table(world: World) -> None:
    await world.hears(approval(1))
    await world.hears(approval(2))
    async with world.database.begin() as tx:
        statement = sa.update(releases).values(state="loading")
        with pytest.raises(sa.exc.IntegrityError):
            async with tx.begin_nested():
                await tx.execute(statement)


async def test_concurrent_steps_decide_once(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    other = World(world.database)
    other.says("p", 1)
    await asyncio.gather(*(w.rollouts.step() for w in (world, other, world, other)))
    assert len(await world.outbox()) == 5


async def test_migrations_make_the_tables_of_the_code_and_take_them_away(world: World) -> None:
    def columns(connection: sa.Connection) -> dict[str, set[str]]:
        look = sa.inspect(connection)
        return {name: {c["name"] for c in look.get_columns(name)} for name in look.get_table_names()}

    async with world.database.begin() as tx:
        found = await tx.run_sync(columns)
    for table in (*metadata.tables.values(), *delivery.metadata.tables.values()):
        assert found[table.name] == {c.name for c in table.columns}
    await migrate(world.database, "shipway.releaser", "base")
    async with world.database.begin() as tx:
        assert set(await tx.run_sync(columns)) == {"alembic_version"}
    await migrate(world.database, "shipway.releaser")


async def test_a_model_comes_back_from_the_tables_as_it_was_saved(world: World) -> None:
    await world.hears(approval(1))
    world.says("p", 1)
    await world.rollouts.step()
    async with world.database.begin() as tx:
        (stored,) = await load(tx)
        assert await save(tx, Serving(), stored.model, stored.model, None, START) is None
    assert stored.model.desired.traffic == ((1, 1.0),)
    assert stored.approved_at == {1: START}
