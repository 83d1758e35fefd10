"""What each page of models shows, read within one transaction and handed to the pure modules that make it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shipway.monitor import alerts, letters, measuring, reading, store
from shipway.monitor.dashboard import commands, flow, happened, looking, outcomes, replays, sections, sums, timeline
from shipway.monitor.dashboard.hand import hand_of
from shipway.monitor.dashboard.health import Facts, health_of
from shipway.monitor.dashboard.overview import overview, rate_of, ready
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.instances import instances_now
from shipway.runtime.database import Transaction

RECENT = 14
DAY = timedelta(days=1)


async def of_overview(tx: Transaction, parts: Parts) -> dict[str, Any]:
    """Every model at a glance, and what happened last."""
    now = datetime.now(UTC)
    models = await reading.overview(tx)
    names = [model["name"] for model in models]
    champions, waiting = await looking.champions_and_waiting(tx)
    view = overview(
        models,
        champions=champions,
        waiting=waiting,
        minutes=await sums.minutes(tx, names, now - timedelta(minutes=61)),
        alerts=await alerts.listed(tx, None, ended=False),
        instances=instances_now(parts.presence, parts.silent_after_s),
        answers=await happened.answers(tx, None),
        failed=await looking.failed_requests(tx),
        now=now,
    )
    return {
        "view": view,
        "recent": await happened.recent(tx, limit=RECENT),
        "letters": sum((await letters.counts_since(tx, now - DAY)).values()),
    }


async def of_model(
    tx: Transaction, parts: Parts, name: str, span: str | None, before: int | None
) -> dict[str, Any] | None:
    """A model: how it is, where its trainings and releases are, how its versions do; None: no such model."""
    now = datetime.now(UTC)
    model = next((one for one in await reading.overview(tx, name)), None)
    if model is None:
        return None
    listed = await looking.newest_versions(tx, name, before)
    newest = listed if before is None else await looking.newest_versions(tx, name, None, 1)
    requests = await looking.newest_requests(tx, name)
    champion, release = model["champion"], model["release"]
    candidate = release["version"] if release else None
    shown = [number for number in (champion, candidate or model["last_good"]) if number is not None]
    known = await looking.these_versions(tx, name, shown)
    open_alerts = await alerts.listed(tx, name, ended=False)
    instances = instances_now(parts.presence, parts.silent_after_s)
    hand = hand_of((await happened.answers(tx, name)).get(name, ()))
    minutes = (await sums.minutes(tx, [name], now - timedelta(minutes=6))).get(name, {})
    rate = rate_of(minutes, now)
    facts = Facts(
        champion=champion,
        degraded=champion in known and known[champion]["degraded_at"] is not None,
        alerts=open_alerts,
        frozen=hand.frozen,
        waiting=[v["version"] for v in newest if v["state"] == "approved" and v["version"] not in hand.approved],
        failed_request=requests[0]["message"] if requests and requests[0]["state"] == "failed" else None,
        **ready(instances, name, champion),
    )
    steps = flow.steps_of(
        requests[0] if requests else None,
        newest[0] if newest else None,
        known.get(candidate) if candidate else None,
        champion,
        rate,
        len(open_alerts),
    )
    spec = await store.spec_of(tx, name)
    watched = await looking.other_findings(tx, name)
    lanes = [v["version"] for v in newest[: looking.LANES]]
    return {
        "model": model,
        "spec": spec,
        "promises": await sections.kept(tx, name, spec, now),
        "overdue": await measuring.overdue(tx, name, spec, now) if spec is not None else [],
        "health": health_of(facts),
        "facts": facts,
        "hand": hand,
        "rate": rate,
        "drawings": [flow.drawing(steps, tall=False), flow.drawing(steps, tall=True)],
        "rollout": known.get(candidate) if candidate else None,
        "progress": await happened.progress_of(tx, name, candidate) if candidate else [],
        "compared": await sections.compared(tx, name, [known[n] for n in shown if n in known], now),
        "champion": known.get(champion) if champion is not None else None,
        "buttons": {v["version"]: _buttons(v, hand, candidate) for v in [*listed, *known.values()]},
        "freeze": commands.of_model(hand),
        "versions": listed,
        "older": listed[-1]["version"] if len(listed) == looking.VERSIONS else None,
        "before": before,
        "timeline": timeline.timeline(await happened.on_the_timeline(tx, name, lanes), now),
        "requests": requests,
        "running": outcomes.RUNNING,
        "watched": watched,
        "alerts": open_alerts,
        "drift": await sections.drift(tx, name, spec, champion, now),
        **await sections.plots(tx, name, span, now),
    }


async def of_version(tx: Transaction, parts: Parts, name: str, number: int) -> dict[str, Any] | None:
    """A version: its gates, its life, where it is loaded; None: no such version."""
    now = datetime.now(UTC)
    row = (await looking.these_versions(tx, name, [number])).get(number)
    if row is None:
        return None
    hand = hand_of((await happened.answers(tx, name)).get(name, ()))
    holding = [
        {"instance": one["instance"], "present": one["present"], **held}
        for one in instances_now(parts.presence, parts.silent_after_s)
        for held in one["versions"]
        if (held["model"], held["version"]) == (name, number)
    ]
    asked_again = replays.replays(await happened.replays(tx, name, number))
    refused = {one.command_id: await letters.refusal_of(tx, one.command_id) for one in asked_again if one.running}
    against = row["champion_version"]
    other = (await looking.these_versions(tx, name, [against])).get(against) if against else None
    return {
        "model": name,
        "row": row,
        "hand": hand,
        "buttons": _buttons(row, hand, number if row["state"] in reading.IN_RELEASE else None),
        "holding": holding,
        "compared": await sections.compared(tx, name, [row, *([other] if other else [])], now),
        "against": against if other else None,
        "replays": [one.refused(refused.get(one.command_id)) for one in asked_again],
        "progress": await happened.progress_of(tx, name, number),
        "events": await happened.recent(tx, model=name, version=number, limit=30),
    }


async def of_comparison(tx: Transaction, name: str, a: int | None, b: int | None) -> dict[str, Any] | None:
    """Two versions side by side, of those that are named; None: there is no such model, or no such version."""
    if not await reading.overview(tx, name):
        return None
    listed = await looking.newest_versions(tx, name, None, 50)
    chosen = [number for number in (a, b) if number is not None]
    known = await looking.these_versions(tx, name, chosen)
    if set(chosen) - known.keys():
        return None
    rows = [known[number] for number in chosen] if len(chosen) == 2 else []
    lines = await sections.compared(tx, name, rows, datetime.now(UTC))
    return {"model": name, "versions": [v["version"] for v in listed], "a": a, "b": b, "rows": rows, "lines": lines}


def _buttons(version: dict[str, Any], hand: Any, candidate: int | None) -> list[commands.Button]:
    number = version["version"]
    return commands.of_release(number, version["state"], hand, rollout=number == candidate)
