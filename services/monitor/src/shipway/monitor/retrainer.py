"""The reconciler of trainings that alerts ask for: looks at each model that wants them, and asks for one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import TrainingRequested
from shipway.contract.spec import ModelSpec, recorded_spec
from shipway.monitor import alerts, metrics, retraining, store
from shipway.monitor.reading import IN_RELEASE
from shipway.monitor.retraining import Ask, Attempt, Cause, Outcome, Rule, Situation
from shipway.monitor.tables import alerts as alert_rows
from shipway.monitor.tables import models, requests, retrainings, versions
from shipway.runtime import log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit
from shipway.runtime.parts import Parts

_log = log.get(__name__)
_UNDER_WAY = ("requested", "accepted", "training")
_NOT_DECIDED = ("trained", "approved", *IN_RELEASE)
_GAVE_NOTHING = ("rejected", "rolled_back")
# A request of which nothing was heard for longer than its training may take will not be heard of any more.
_SILENT_FOR = timedelta(hours=1)
_GIVEN_UP = sa.select(alert_rows.c.model).where(alert_rows.c.kind == retraining.KIND, alert_rows.c.ended_at.is_(None))


class Retrainer:
    """``step`` is a reconciler's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """One look at every model; several monitors ask once, for the ids are the same.

        Raises:
            Transient: the database is away.
        """
        now, asked = datetime.now(UTC), False
        async with self._parts.database.begin() as tx:
            declared = await store.declared_models(tx)
            given_up = set((await tx.execute(_GIVEN_UP)).scalars())
        for model in declared:
            spec = recorded_spec(model.spec)
            if spec.retraining.on or model.name in given_up:
                async with self._parts.database.begin() as tx:
                    asked |= await self._look(tx, spec, now)
        if asked:
            self._parts.relay.wake()
        return False

    async def _look(self, tx: Transaction, spec: ModelSpec, now: datetime) -> bool:
        at = await _situation(tx, spec, now)
        decision = retraining.decide(rule_of(spec), at, now)
        told = await alerts.follow(
            tx, self._parts.source, spec.name, [retraining.finding(decision)], alerts.rule_of(spec), now
        )
        if not isinstance(decision, Ask):
            return told > 0
        row: dict[str, Any] = {"request_id": decision.request_id, "model": spec.name, "reason": decision.reason}
        row |= {"episode": decision.cause.episode, "attempt": decision.attempt, "version": decision.cause.version}
        row["asked_at"] = now
        if (await tx.execute(insert(retrainings).values(row).on_conflict_do_nothing())).rowcount != 1:
            return told > 0
        asked = TrainingRequested(
            model=spec.name,
            request_id=decision.request_id,
            reason=decision.reason,
            requested_by=self._parts.source,
        )
        with trace.within(None):
            await emit(tx, self._parts.source, asked, event_id=decision.request_id)
        metrics.RETRAININGS.labels(decision.cause.trigger).inc()
        _log.info("training asked for", model=spec.name, request_id=decision.request_id, reason=decision.reason)
        return True


def rule_of(spec: ModelSpec) -> Rule:
    """A model's rule."""
    said = spec.retraining
    return Rule(frozenset(said.on), said.cool_down, said.budget, said.budget_period, said.give_up_after)


async def _situation(tx: Transaction, spec: ModelSpec, now: datetime) -> Situation:
    """What is to be known of a model; its row is locked, so that no other monitor decides meanwhile."""
    name = spec.name
    model = (await tx.execute(sa.select(models).where(models.c.name == name).with_for_update())).one()
    this = (versions.c.model == name) & (versions.c.version == model.champion)
    since = (await tx.execute(sa.select(versions.c.changed_at).where(this))).scalar_one_or_none()
    open_ones = sa.select(alert_rows).where(alert_rows.c.model == name, alert_rows.c.ended_at.is_(None))
    causes = [
        Cause(row.id, row.version, row.kind, row.subject, row.reason, row.raised_at)
        for row in (await tx.execute(open_ones)).all()
    ]
    heard_since = now - spec.training.time_limit - _SILENT_FOR
    attempts, busy = await _attempts(tx, name, heard_since), await _busy(tx, name, heard_since)
    return Situation(name, model.champion, since, causes, attempts, busy)


async def _attempts(tx: Transaction, name: str, heard_since: datetime) -> list[Attempt]:
    of_request = retrainings.outerjoin(requests, requests.c.request_id == retrainings.c.request_id)
    joined = of_request.outerjoin(
        versions, (versions.c.model == retrainings.c.model) & (versions.c.version == requests.c.version)
    )
    states = (requests.c.state.label("request_state"), versions.c.state.label("version_state"))
    shown = sa.select(retrainings, *states, requests.c.changed_at.label("heard_at"))
    statement = shown.select_from(joined).where(retrainings.c.model == name)
    rows = (await tx.execute(statement.order_by(retrainings.c.asked_at))).all()
    return [Attempt(row.episode, row.version, row.asked_at, _outcome(row, heard_since)) for row in rows]


def _outcome(row: Any, heard_since: datetime) -> Outcome:
    silent = row.request_state in (None, *_UNDER_WAY) and (row.heard_at or row.asked_at) <= heard_since
    if silent or row.request_state == "failed" or row.version_state in _GAVE_NOTHING:
        return "failed"
    undecided = row.version_state is None or row.version_state in _NOT_DECIDED
    return "open" if undecided else "served"


async def _busy(tx: Transaction, name: str, heard_since: datetime) -> str:
    """What is under way of a model, in words."""
    mine = (requests.c.model == name) & requests.c.state.in_(_UNDER_WAY) & (requests.c.changed_at > heard_since)
    request = (await tx.execute(sa.select(requests.c.request_id).where(mine).limit(1))).scalar_one_or_none()
    if request is not None:
        return f"the training {request} is under way"
    undecided = (versions.c.model == name) & versions.c.state.in_(_NOT_DECIDED)
    version = (await tx.execute(sa.select(versions.c.version).where(undecided).limit(1))).scalar_one_or_none()
    return "" if version is None else f"version {version} is being judged or released"


async def forget_before(tx: Transaction, at: datetime) -> None:
    """Removes what is too old to count."""
    await tx.execute(sa.delete(retrainings).where(retrainings.c.asked_at < at))
