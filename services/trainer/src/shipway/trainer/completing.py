"""The end of a job that did what it was for, within a transaction: its version, or its candidates, and the events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.events import FoundParameters, SearchCompleted, TrainingAccepted, TrainingCompleted
from shipway.runtime import delivery, log
from shipway.runtime.database import Transaction
from shipway.trainer import metrics
from shipway.trainer.jobrows import TakenStage
from shipway.trainer.kinds import ORIGIN_OF, StageName
from shipway.trainer.searching import Found, Trial, request_of, with_params
from shipway.trainer.tables import jobs, versions

_log = log.get(__name__)
_NUMBERING = 0x4E55_4D42  # "NUMB", with the model: version numbers without gaps or doubles


async def record(tx: Transaction, source: str, taken: TakenStage) -> None:
    """Ends a job whose last stage was just finished, and tells what came of it."""
    told: dict[StageName, Mapping[str, Any]] = {done.stage: done.result for done in taken.before}
    if taken.job.kind == "search":
        await _record_search(tx, source, taken, told)
    else:
        await _record_version(tx, source, taken, told)


async def complete(tx: Transaction, taken: TakenStage, digest: str) -> int:
    """Ends a job with a version; gives its number."""
    await _end(tx, taken, "")
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_NUMBERING, sa.func.hashtext(taken.job.model))))
    highest = sa.select(sa.func.coalesce(sa.func.max(versions.c.version), 0)).where(versions.c.model == taken.job.model)
    version = int((await tx.execute(highest)).scalar_one()) + 1
    values = {"model": taken.job.model, "version": version, "request_id": taken.job.request_id, "digest": digest}
    await tx.execute(sa.insert(versions).values(values))
    return version


async def _record_version(
    tx: Transaction, source: str, taken: TakenStage, told: Mapping[StageName, Mapping[str, Any]]
) -> None:
    version = await complete(tx, taken, told["build"]["digest"])
    completed = msgspec.convert(
        {
            "model": taken.job.model,
            "request_id": taken.job.request_id,
            "version": version,
            "training_rows": told["preprocess"]["rows"],
            "data_source": taken.spec["data"]["source"].partition(":")[0],
            "set_aside_rows": told["clean"]["set_aside"],
            "metrics": told["evaluate"]["metrics"],
            "duration_s": taken.spent_s,
            "origin": ORIGIN_OF[taken.job.kind],
            **told["get-data"]["windows"],
            **told["build"],
        },
        TrainingCompleted,
    )
    await delivery.emit(tx, source, completed)
    metrics.TRAININGS.labels("completed").inc()
    metrics.TRAINING_SECONDS.observe(taken.spent_s)
    _log.info("training completed", model=completed.model, version=version, digest=completed.digest[:12])


async def _record_search(
    tx: Transaction, source: str, taken: TakenStage, told: Mapping[StageName, Mapping[str, Any]]
) -> None:
    """Each candidate is a job of its own, on the same data, in line behind what waits already."""
    result = told["search"]
    found, leaders = msgspec.convert(result, Found), msgspec.convert(result["best"], list[Trial])
    await _end(tx, taken, result["words"])
    asked_at = taken.job.created_at  # so that candidates are trained on what the trials were
    candidates = [
        FoundParameters(
            request_id=request_of(taken.job.request_id, number), params=trial.params, figure=trial.figure or 0.0
        )
        for number, trial in enumerate(leaders, 1)
    ]
    for candidate in candidates:
        values = {
            "request_id": candidate.request_id,
            "model": taken.job.model,
            "until": datetime.fromisoformat(told["get-data"]["windows"]["holdout_to"]),
            "reason": f"found by the search {taken.job.request_id}: {result['words']}"[:2000],
            "requested_by": taken.requested_by,
            "traceparent": taken.traceparent,
            "origin": "candidate",
            "asked": {"spec": with_params(candidate.params), "asked_at": asked_at.isoformat()},
        }
        await tx.execute(insert(jobs).values(values).on_conflict_do_nothing())
        await delivery.emit(tx, source, TrainingAccepted(model=taken.job.model, request_id=candidate.request_id))
    completed = SearchCompleted(
        model=taken.job.model,
        request_id=taken.job.request_id,
        trials=len(found.trials),
        pruned=sum(trial.state == "pruned" for trial in found.trials),
        metric=found.metric,
        baseline=found.baseline,
        candidates=candidates,
        duration_s=taken.spent_s,
    )
    await delivery.emit(tx, source, completed)
    for trial in found.trials:
        metrics.SEARCH_TRIALS.labels(trial.state).inc()
    _log.info("search completed", model=completed.model, trials=completed.trials, candidates=len(candidates))


async def _end(tx: Transaction, taken: TakenStage, message: str) -> None:
    over = {"state": "completed", "owner": None, "lease_until": None, "ended_at": sa.func.clock_timestamp()}
    of_job = sa.update(jobs).where(jobs.c.request_id == taken.job.request_id)
    await tx.execute(of_job.values(**over, stage="done", fraction=1.0, message=message))
