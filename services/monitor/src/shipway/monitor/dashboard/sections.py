"""The parts of pages that are read by themselves: plots, drift, service levels, versions beside each other.

Each function works within a transaction, and hands what it read to the pure module that makes it.
"""

from datetime import datetime, timedelta
from typing import Any

from shipway.contract.spec import ModelSpec
from shipway.monitor import latencies, measuring, naming, spending, windows
from shipway.monitor.bins import Counts
from shipway.monitor.dashboard import charts, drifts, looking, promises, series, sums, versus
from shipway.runtime.database import Transaction

COMPARED_OVER = timedelta(hours=24)


async def compared(tx: Transaction, name: str, rows: list[dict[str, Any]], now: datetime) -> list[versus.Line]:
    """Some versions beside each other, by their service of the last day."""
    if not rows:
        return []
    served = versus.services(await sums.traffic(tx, name, now - COMPARED_OVER, COMPARED_OVER))
    totals = await sums.totals(tx, name, [row["version"] for row in rows])
    took: dict[int, Counts] = {}
    for (version, _), counts in (await latencies.since(tx, name, latencies.FINE, now - COMPARED_OVER)).items():
        took[version] = took[version] + counts if version in took else counts
    signatures = await naming.signatures_of(tx, name, [row["version"] for row in rows])
    return versus.lines(rows, served, totals, took, await naming.ndcg_at(tx, name, signatures))


async def plots(tx: Transaction, name: str, span: str | None, now: datetime) -> dict[str, Any]:
    """A model's figures over a time; one that fits its history where ``span`` is none of charts.RANGES."""
    chosen = (
        span if span is not None and span in charts.RANGES else charts.fitting(await sums.first_minute(tx, name), now)
    )
    lasts, width = charts.RANGES[chosen]
    begin = now - lasts
    rows = await sums.traffic(tx, name, begin, width)
    answered, troubled = series.traffic(rows, begin, now, width)
    slot = latencies.slot_for(lasts)
    times = series.percentiles(await latencies.since(tx, name, slot, begin), begin, now, max(width, slot))
    # Sums of labels are by the hour.
    wide = max(width, timedelta(hours=1))
    coarse = rows if wide == width else await sums.traffic(tx, name, begin, wide)
    judged = await sums.qualities(tx, name, begin, wide)
    loss, coverage = series.quality(judged, series.answered_of(coarse), begin, now, wide)
    return {
        "spans": list(charts.RANGES),
        "span": chosen,
        # Of the time before percentiles were kept there are sums.
        "plots": [answered, times if not times.empty else series.latency(rows, begin, now, width), troubled],
        "quality_plots": [loss, coverage],
    }


async def kept(tx: Transaction, name: str, spec: ModelSpec | None, now: datetime) -> list[promises.Promise]:
    """A model's service levels, and how they are kept."""
    if spec is None:
        return []
    return promises.promises(await measuring.measure(tx, name, spec, now), await spending.spent(tx, name))


async def drift(
    tx: Transaction, name: str, spec: ModelSpec | None, version: int | None, now: datetime
) -> list[drifts.Feature]:
    """How far the features of a version have moved, by what is found and what came since."""
    if version is None or spec is None:
        return []
    found = await looking.drift_findings(tx, name, version)
    bins = await windows.bins_of(tx, name, version)
    # The predictions of the drift window up to now, whether that is judged or not.
    begin = windows.begin_of(now - spec.monitoring.drift_window, spec.monitoring.window)
    seen = await windows.of_version(tx, name, spec.monitoring.window, begin, version)
    return drifts.features(found, bins, seen)
