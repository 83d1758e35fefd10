"""What is done to the evaluator's tables, within a transaction."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import ModelApproved, ModelRejected, TrainingCompleted
from shipway.evaluator.tables import candidates, champions, verdicts
from shipway.runtime.database import Transaction


@dataclass(frozen=True)
class Candidate:
    """A version that waits for its verdict. ``crashes``: how often the process that judges it died.

    ``origin``: what made it, as TrainingCompleted tells.
    """

    model: str
    version: int
    digest: str
    request_id: str
    traceparent: str | None
    crashes: int
    origin: str = "training"


@dataclass(frozen=True)
class ChampionRow:
    """The version in service, as release events told it."""

    version: int
    digest: str


async def note_candidate(tx: Transaction, completed: TrainingCompleted, traceparent: str | None) -> bool:
    """Writes the version down to be judged; False where it is there already."""
    statement = insert(candidates).values(
        model=completed.model,
        version=completed.version,
        digest=completed.digest,
        request_id=completed.request_id,
        traceparent=traceparent,
        origin=completed.origin,
    )
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def note_champion(tx: Transaction, model: str, version: int | None, digest: str | None, generation: int) -> None:
    """Remembers a model's champion (None: there is none), unless something newer is known."""
    values = {"version": version, "digest": digest, "generation": generation}
    statement = insert(champions).values(model=model, **values)
    newer = champions.c.generation <= statement.excluded.generation
    await tx.execute(statement.on_conflict_do_update(index_elements=["model"], set_=values, where=newer))


async def champion_of(tx: Transaction, model: str) -> ChampionRow | None:
    """The model's champion."""
    row = (await tx.execute(sa.select(champions).where(champions.c.model == model))).one_or_none()
    return None if row is None or row.version is None else ChampionRow(row.version, row.digest)


async def take_candidate(tx: Transaction) -> Candidate | None:
    """The next version to judge, locked until the transaction ends: the lock dies with its holder."""
    statement = (
        sa.select(candidates)
        .where(~candidates.c.judged, candidates.c.not_before <= sa.func.clock_timestamp())
        .order_by(candidates.c.received_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return None
    return Candidate(row.model, row.version, row.digest, row.request_id, row.traceparent, row.crashes, row.origin)


async def postpone(tx: Transaction, candidate: Candidate, rest: timedelta, why: str, *, crashed: bool) -> None:
    """Leaves the candidate for later."""
    values: dict[str, Any] = {"not_before": sa.func.clock_timestamp() + rest, "waits_for": storable(why)}
    await tx.execute(_update(candidate).values(values | {"crashes": candidate.crashes + crashed}))


async def write_verdict(tx: Transaction, verdict: ModelApproved | ModelRejected) -> bool:
    """Writes the verdict, once a version; False where it has one."""
    values = {
        "model": verdict.model,
        "version": verdict.version,
        "digest": verdict.digest,
        "approved": isinstance(verdict, ModelApproved),
        "reason": storable(verdict.reason) if isinstance(verdict, ModelRejected) else "",
        "gates": [_clean(msgspec.to_builtins(gate)) for gate in verdict.gates],
        "metrics": verdict.metrics,
        "champion_version": verdict.champion_version,
        "champion_metrics": verdict.champion_metrics,
    }
    statement = insert(verdicts).values(values).on_conflict_do_nothing()
    key = sa.and_(candidates.c.model == verdict.model, candidates.c.version == verdict.version)
    await tx.execute(sa.update(candidates).where(key).values(judged=True, waits_for=""))
    return (await tx.execute(statement)).rowcount == 1


async def waiting(tx: Transaction) -> int:
    """How many versions wait for a verdict."""
    statement = sa.select(sa.func.count()).select_from(candidates).where(~candidates.c.judged)
    return int((await tx.execute(statement)).scalar_one())


def _update(candidate: Candidate) -> sa.Update:
    key = sa.and_(candidates.c.model == candidate.model, candidates.c.version == candidate.version)
    return sa.update(candidates).where(key)


def _clean(gate: dict[str, Any]) -> dict[str, Any]:
    return gate | {"reason": storable(gate["reason"])}


def storable(text: str) -> str:
    """A reason as it is kept and told: without NUL, which PostgreSQL's text does not hold, and not endless."""
    return text.replace("\x00", "")[:4000]
