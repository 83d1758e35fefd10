"""The overview: every model with its health, its versions in service and its traffic of the last hour. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shipway.monitor.dashboard.charts import sparkline
from shipway.monitor.dashboard.hand import hand_of
from shipway.monitor.dashboard.health import WORST_FIRST, Facts, Health, health_of

MINUTES = 60
_RATE_OVER = 5  # minutes, the one under way aside

Minutes = Mapping[datetime, Mapping[str, int]]


@dataclass(frozen=True)
class Row:
    """A model. ``rate``: predictions a second over the last minutes; ``error_share`` and ``line`` are of an hour."""

    name: str
    description: str
    health: Health
    champion: int | None
    rollout: Mapping[str, Any] | None
    candidate_share: float
    rate: float
    answered: int
    error_share: float | None
    line: str
    alerts: int


@dataclass(frozen=True)
class Overview:
    """The models, the worst first; ``states`` counts them by health."""

    rows: Sequence[Row]
    states: Mapping[str, int]
    rate: float
    alerts: int
    ready_instances: int
    instances: int


def overview(
    models: Sequence[Mapping[str, Any]],
    *,
    champions: Mapping[str, Mapping[str, Any]],
    waiting: Mapping[str, Sequence[int]],
    minutes: Mapping[str, Minutes],
    alerts: Sequence[Mapping[str, Any]],
    instances: Sequence[Mapping[str, Any]],
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
    failed: Mapping[str, str],
    now: datetime,
) -> Overview:
    """The page. ``models`` as the API's overview, ``champions`` their version's row, ``instances`` as the API's."""
    of_model: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for alert in alerts:
        of_model[alert["model"]].append(alert)
    rows = []
    for model in models:
        name = model["name"]
        facts = Facts(
            champion=model["champion"],
            degraded=champions.get(name, {}).get("degraded_at") is not None,
            alerts=of_model[name],
            frozen=hand_of(answers.get(name, ())).frozen,
            waiting=waiting.get(name, ()),
            failed_request=failed.get(name),
            **ready(instances, name, model["champion"]),
        )
        rows.append(_row(model, health_of(facts), minutes.get(name, {}), len(of_model[name]), now))
    rows.sort(key=lambda row: (WORST_FIRST.index(row.health.state), row.name))
    present = [one for one in instances if one["present"]]
    return Overview(
        rows=rows,
        states={state: sum(row.health.state == state for row in rows) for state in WORST_FIRST},
        rate=sum(row.rate for row in rows),
        alerts=len(alerts),
        ready_instances=sum(all(v["state"] == "ready" for v in one["versions"]) for one in present),
        instances=len(instances),
    )


def ready(instances: Sequence[Mapping[str, Any]], model: str, version: int | None) -> dict[str, int]:
    """On how many of the instances that are to hold a version, and are present, it is ready.

    An instance of an image is to hold it where it says that it does, or tries to: its other ones it knows nothing of.
    """
    states = [
        (one, [v["state"] for v in one["versions"] if (v["model"], v["version"]) == (model, version)])
        for one in instances
        if one["present"]
    ]
    concerned = [state for one, state in states if state or one["only"] is None]
    return {"ready": sum("ready" in state for state in concerned), "instances": len(concerned)}


def rate_of(minutes: Minutes, now: datetime) -> float:
    """Predictions a second over the last whole minutes."""
    begin = now.replace(second=0, microsecond=0) - timedelta(minutes=_RATE_OVER)
    counted = sum(outcomes.get("answered", 0) for at, outcomes in minutes.items() if at >= begin)
    return counted / (_RATE_OVER * 60 + now.second)


def _row(model: Mapping[str, Any], health: Health, minutes: Minutes, alerts: int, now: datetime) -> Row:
    answered = sum(m.get("answered", 0) for m in minutes.values())
    failed = sum(m.get("failed", 0) for m in minutes.values())
    last = now.replace(second=0, microsecond=0)
    moments = [last - timedelta(minutes=n) for n in range(MINUTES, 0, -1)]
    release = model["release"]
    return Row(
        name=model["name"],
        description=model["description"],
        health=health,
        champion=model["champion"],
        rollout=release,
        candidate_share=model["traffic"].get(str(release["version"]), 0.0) if release else 0.0,
        rate=rate_of(minutes, now),
        answered=answered,
        error_share=failed / (answered + failed) if answered + failed else None,
        line=sparkline([float(minutes.get(at, {}).get("answered", 0)) for at in moments]),
        alerts=alerts,
    )
