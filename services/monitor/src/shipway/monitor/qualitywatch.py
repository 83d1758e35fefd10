"""What a version's labels, and its own probabilities, say at the end of a drift window. Within a transaction."""

from datetime import datetime

import sqlalchemy as sa

from shipway.contract.signature import OF_NUMBERS
from shipway.contract.spec import ModelSpec
from shipway.monitor import naming, partquality, partsums, qualities, worsening
from shipway.monitor.bins import Bins
from shipway.monitor.judgement import Finding
from shipway.monitor.summary import Summary
from shipway.monitor.tables import versions
from shipway.monitor.worsening import Rule
from shipway.runtime.database import Transaction

WINDOWS_BEFORE = 4  # of quality_window, that a part's usual is taken from


def rule_of(spec: ModelSpec, ndcg_at: int | None) -> Rule:
    """When the quality of a version is too bad; ``ndcg_at``: as it was judged, of a ranking."""
    said, floor, no_floor = spec.monitoring, spec.gates.floor, ""
    if floor is not None and ndcg_at not in (None, spec.gates.ndcg_at):
        floor, no_floor = None, f"gates.floor is of NDCG@{spec.gates.ndcg_at}, this version's of NDCG@{ndcg_at}"
    return Rule(
        drop=said.quality_drop,
        min_labels=said.min_labels,
        max_calibration_error=spec.gates.max_calibration_error or said.max_calibration_error,
        metric=spec.metric,
        floor=floor,
        no_floor=no_floor,
    )


async def found(
    tx: Transaction, model: str, spec: ModelSpec, version: int, window: Summary, bins: Bins, end: datetime
) -> list[Finding]:
    """Quality by labels that had time to come, calibration, and the quality to expect of the window's answers."""
    ndcg_at = await naming.ndcg_at(tx, model, await naming.signatures_of(tx, model, [version]))
    rule, said = rule_of(spec, ndcg_at.get(version)), spec.monitoring
    holdout = await _holdout(tx, model, version)
    ripe = end - spec.labels.mature_after
    hours, answered = await qualities.hours_between(tx, model, version, ripe - said.quality_window, ripe)
    judged = worsening.by_labels(version, hours, answered, holdout, bins.output, rule)
    judged += await _by_part(tx, model, spec, version, bins.output, holdout, ripe)
    if bins.output in OF_NUMBERS:
        return judged
    labelled, asked = await qualities.hours_between(tx, model, version, end - said.drift_window, end)
    coverage = min(sum(hour.labelled for hour in labelled) / asked, 1.0) if asked else None
    calibrated = next((one.state for one in judged if one.kind == worsening.CALIBRATION), "insufficient")
    pairs = worsening.Sure(window.sureness, window.binned), worsening.Sure(bins.sureness, bins.rows)
    return [*judged, worsening.by_probabilities(version, *pairs, rule, calibrated, coverage)]


async def _by_part(
    tx: Transaction, model: str, spec: ModelSpec, version: int, output: str, holdout: dict[str, float], ripe: datetime
) -> list[Finding]:
    """Of parts of the traffic, beside the weeks before."""
    said = spec.monitoring
    begin = ripe - said.quality_window
    now = await partsums.between(tx, model, begin, ripe, version)
    before = await partsums.between(tx, model, begin - WINDOWS_BEFORE * said.quality_window, begin)
    allowed = {metric: said.quality_drop * abs(figure) for metric, figure in holdout.items()}
    rate = said.drift_false_discoveries
    return partquality.by_part(version, now, before, output, allowed, said.min_labels, rate)


async def _holdout(tx: Transaction, model: str, version: int) -> dict[str, float]:
    this = (versions.c.model == model) & (versions.c.version == version)
    known: dict[str, float] | None = (await tx.execute(sa.select(versions.c.metrics).where(this))).scalar_one_or_none()
    return known or {}
