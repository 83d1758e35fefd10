"""Judges waiting versions one by one: evidence, verdict, report, and the event, once a version."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shipway.bundle.evaluations import report_key
from shipway.contract.errors import Transient
from shipway.contract.events import ModelApproved, ModelRejected
from shipway.contract.signature import to_builtins
from shipway.evaluator import metrics, store
from shipway.evaluator.evidence import ChildCrashed, Court, gather
from shipway.evaluator.facts import Evidence
from shipway.evaluator.report.document import document
from shipway.evaluator.report.page import page
from shipway.evaluator.store import Candidate, ChampionRow
from shipway.evaluator.turns import Turns
from shipway.evaluator.verdict import judge
from shipway.runtime import delivery, log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts

_log = log.get(__name__)


class Judge:
    """``step`` and ``stop`` are those of its turns, a version each."""

    def __init__(self, parts: Parts, court: Court) -> None:
        self._parts = parts
        self._court = court
        turns = Turns(parts, court.stopping, self._next, "judging")
        self.step, self.stop = turns.step, turns.stop
        self.problem: str | None = None

    async def _next(self, tx: Transaction) -> bool:
        metrics.WAITING.set(await store.waiting(tx))
        candidate = await store.take_candidate(tx)
        if candidate is None:
            return False
        with trace.within(candidate.traceparent, "judging", model=candidate.model, version=candidate.version):
            await self._judge(tx, candidate)
        return True

    async def _judge(self, tx: Transaction, candidate: Candidate) -> None:
        begun = asyncio.get_running_loop().time()
        champion = await store.champion_of(tx, candidate.model)
        try:
            evidence = await self._evidence(candidate, champion)
            event, report = _decide(candidate, champion, evidence)
            await asyncio.to_thread(_put, self._court.store, candidate.digest, report)
        except Transient as err:
            self.problem = str(err)
            _log.warning("judging waits", model=candidate.model, version=candidate.version, reason=str(err))
            rest = timedelta(seconds=self._court.settings.wait_s)
            await store.postpone(tx, candidate, rest, str(err), crashed=False)
            return
        except ChildCrashed as err:
            _log.warning("judging crashed", model=candidate.model, version=candidate.version, reason=str(err))
            await store.postpone(tx, candidate, timedelta(seconds=1), str(err), crashed=True)
            return
        self.problem = None
        if await store.write_verdict(tx, event):
            await delivery.emit(tx, self._parts.source, event)
            _count(event, asyncio.get_running_loop().time() - begun)

    async def _evidence(self, candidate: Candidate, champion: ChampionRow | None) -> Evidence:
        """What can be had; without the figures once the process that makes them has died too often."""
        try:
            return await gather(self._court, candidate, champion)
        except ChildCrashed as err:
            if candidate.crashes < self._court.settings.crashes_allowed:
                raise
            problem = f"{err}; tried {candidate.crashes + 1} times"
            return replace(err.evidence, measuring_problem=problem)


def _decide(
    candidate: Candidate, champion: ChampionRow | None, evidence: Evidence
) -> tuple[ModelApproved | ModelRejected, dict[str, Any]]:
    evidence = replace(evidence, origin=candidate.origin)
    verdict, measured, opened = judge(evidence), evidence.measured, evidence.opened
    common: dict[str, Any] = {
        "model": candidate.model,
        "version": candidate.version,
        "digest": candidate.digest,
        "request_id": candidate.request_id,
        "gates": verdict.gates,
        "metrics": _finite(measured.metrics) if measured else {},
        "champion_version": champion.version if champion else None,
        "champion_metrics": _finite(measured.champion) if measured else {},
    }
    event: ModelApproved | ModelRejected
    if verdict.approved and opened is not None:
        event = ModelApproved(
            **common,
            signature=to_builtins(opened.signature),
            release=opened.spec.release.model_dump(mode="json"),
            prediction_log=opened.spec.prediction_log.model_dump(mode="json"),
            hold=verdict.hold,
            retirement=opened.spec.retirement.model_dump(mode="json"),
            ndcg_at=opened.spec.gates.ndcg_at if opened.signature.output == "ranking" else None,
        )
    else:
        event = ModelRejected(**common, reason=verdict.reason)
    return event, document(common, verdict, evidence, datetime.now(UTC))


def _put(store: ObjectStore, digest: str, report: dict[str, Any]) -> None:
    store.put(report_key(digest, "html"), page(report).encode())
    store.put(report_key(digest), msgspec.json.format(msgspec.json.encode(report), indent=1))


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if math.isfinite(figure)}


def _count(event: ModelApproved | ModelRejected, seconds: float) -> None:
    approved = isinstance(event, ModelApproved)
    metrics.VERDICTS.labels("approved" if approved else "rejected").inc()
    metrics.JUDGING_SECONDS.observe(seconds)
    for gate in event.gates:
        if not gate.passed:
            metrics.GATES_FAILED.labels(gate.name).inc()
    reason = "" if isinstance(event, ModelApproved) else event.reason
    _log.info("verdict", model=event.model, version=event.version, approved=approved, reason=reason)
