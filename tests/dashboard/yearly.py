"""A seeded history of a monitor, written straight into its tables: as long as wanted, a year by default.

What tests, screenshots and the bench of the dashboard look at. Models differ in how they are: as usual, in a canary,
drifting, failing, without a version.
"""

import json
import math
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from shipway.contract.events import Presence
from shipway.contract.signature import Feature, Signature
from shipway.monitor import latencies
from shipway.monitor import tables as t
from shipway.monitor.bins import Bins, cells_of, make_bins
from shipway.monitor.packing import pack
from shipway.monitor.quality import AGES, Quality
from shipway.monitor.summary import LATENCIES, Summary
from shipway.monitor.windows import begin_of
from shipway.runtime.database import Database, Transaction

FEATURES = ("origin_delay_2h", "hour", "distance", "temperature", "wind", "visibility", "carrier", "route")
GATES = ("bundle-intact", "size", "model-file", "golden-rows", "holdout-size", "leakage", "floor", "champion", "slices")


@dataclass(frozen=True)
class Story:
    """How one model is. ``per_minute``: its predictions at noon; ``every``: between two versions."""

    name: str
    description: str
    per_minute: int = 60
    every: timedelta = timedelta(days=1)
    canary: bool = False
    drifting: bool = False
    failing: bool = False
    versions: int | None = None


STORIES = (
    Story("flights", "Late arrivals of flights from New York", 240, canary=True),
    Story("churn", "Customers who leave within 30 days", 40, drifting=True),
    Story("fraud", "Card payments that will be disputed", 600, timedelta(hours=8), failing=True),
    Story("houses", "What a house will sell for", 8, timedelta(days=7)),
    Story("energy", "Load of the grid in an hour", 25),
    Story("returns", "Orders that come back", 1, versions=0),
)


@dataclass
class Told:
    """What was written: the newest version of each model, the last trace, and the last job."""

    newest: dict[str, int] = field(default_factory=dict)
    champions: dict[str, int] = field(default_factory=dict)
    trace: str = ""
    job: str = ""


async def fill(
    database: Database, *, days: int = 365, now: datetime | None = None, seed: int = 1, stories: Any = STORIES
) -> Told:
    """Writes the history of all stories, ``days`` of it, up to ``now``."""
    rng, told = random.Random(seed), Told()
    now = now or datetime.now(UTC)
    for story in stories:
        async with database.begin() as tx:
            await _model(tx, story, days, now, rng, told)
    async with database.begin() as tx:
        await _letters(tx, now)
    async with database.alone(600) as connection:
        await connection.execute(sa.text("analyze"))
    return told


def presence(told: Told, now: datetime | None = None, instances: int = 3) -> dict[str, Presence]:
    """What so many predictors say of themselves: every champion is ready on each, the newest version too."""
    moment = now or datetime.now(UTC)
    held = [
        {"model": model, "version": version, "digest": "d", "state": "ready", "answered": 1000 + 7 * version}
        for model in told.champions
        for version in sorted({told.champions[model], told.newest[model]})
    ]
    said: dict[str, Any] = {
        "started_at": moment - timedelta(days=3),
        "library_versions": {},
        "generations": {},
        "versions": held,
        "answered": 120_000,
        "logged": 119_998,
        "dropped": 2,
    }
    names = {f"predictor-{n}": f"http://10.0.0.{n}:8080" for n in range(1, instances + 1)}
    return {name: msgspec.convert({**said, "instance": name, "url": url}, Presence) for name, url in names.items()}


async def _model(tx: Transaction, story: Story, days: int, now: datetime, rng: random.Random, told: Told) -> None:
    begin = now - timedelta(days=days)
    number = story.versions if story.versions is not None else max(2, int(timedelta(days=days) / story.every))
    spec = {
        "name": story.name,
        "description": story.description,
        "owner": "data team",
        "data": {"source": "folder:/data", "time_column": "at", "train": "90d", "holdout": "14d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {name: {"type": "number"} for name in FEATURES},
        "retirement": {"max_age": "90d", "unused_for": "7d"},
    }
    champion = number - 1 if story.canary else number
    values = {"name": story.name, "spec": spec, "declared_at": begin}
    if number:
        values |= {"champion": champion, "last_good": champion - 1}
        told.newest[story.name], told.champions[story.name] = number, champion
    await tx.execute(sa.insert(t.models).values(**values))
    if not number:
        return
    rows, events, asked = [], [], []
    for version in range(1, number + 1):
        at = now - story.every * (number - version) - timedelta(hours=2)
        row, said, request = _version(story, version, champion, number, at, rng, told)
        rows.append(row)
        events += said
        asked.append(request)
    await _insert(tx, t.versions, rows)
    for version in (3, number):
        events += _replays(story.name, version, champion, now)
    await _insert(tx, t.events, sorted(events, key=lambda event: event["at"]))
    await _insert(tx, t.requests, asked)
    await _traffic(tx, story, number, champion, begin, now)
    await _latencies(tx, story, number, champion, begin, now, rng)
    await _quality(tx, story, number, champion, begin, now, rng)
    await _watched(tx, story, champion, now, rng)


def _replays(model: str, version: int, champion: int, now: datetime) -> list[dict[str, Any]]:
    """A version that was asked what others were asked, once in vain, and is asked once more."""
    day = timedelta(days=1)
    asked = {"model": model, "version": version, "requested_by": "bob (dashboard)"}
    wanted: dict[str, Any] = {"start": (now - 7 * day).isoformat(), "end": now.isoformat(), "limit": 10_000}
    found = {
        "digest": "d",
        "rows": 9_800,
        "first_at": (now - 7 * day).isoformat(),
        "last_at": now.isoformat(),
        "answered_by": {str(champion): 9_800},
        "left_out": {"features not kept": 200},
        "scores": {"mean": -0.002, "mean_absolute": 0.0134, "p95_absolute": 0.041, "max_absolute": 0.22},
        "quality": {
            "labelled": 4_100,
            "logged": {"auc": 0.741, "log_loss": 0.412},
            "replayed": {"auc": 0.748, "log_loss": 0.408},
        },
        "latency_ms": {"logged": {"p50": 1.2, "p99": 4.8}, "replayed": {"p50": 0.02, "p99": 0.05}},
        "decisions": {"changed": 147, "share": 0.015, "moves": [{"from": "0", "to": "1", "rows": 147}]},
    }
    says = [
        ("vain", 60, "ReplayRequested", {**wanted, "reason": "before it is released"}),
        ("vain", 59, "ReplayFailed", {"reason": "no prediction can be replayed; choose another time"}),
        ("done", 40, "ReplayRequested", {**wanted, "reason": "before it is released"}),
        ("done", 39, "ReplayCompleted", {**found, "reason": "before it is released"}),
        ("runs", 1, "ReplayRequested", {**wanted, "reason": "with the new labels"}),
    ]
    return [
        {
            "model": model,
            "version": version,
            "trace_id": None,
            "event_id": f"{model}-{version}-{command}-{name}",
            "source": "shipway/tests",
            "type": f"shipway.{name}.v1",
            "at": now - timedelta(minutes=minutes),
            "payload": {**asked, "command_id": f"{model}-{version}-{command}", **payload},
        }
        for command, minutes, name, payload in says
    ]


async def _insert(tx: Transaction, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 2000):
        await tx.execute(sa.insert(table).inline(), rows[start : start + 2000])


def _version(
    story: Story, version: int, champion: int, newest: int, at: datetime, rng: random.Random, told: Told
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    auc = round(0.75 + 0.02 * math.sin(version / 9) + rng.uniform(-0.005, 0.005), 4)
    request, trace = uuid.UUID(int=rng.getrandbits(128)).hex, uuid.UUID(int=rng.getrandbits(128)).hex
    told.trace, told.job = trace, request
    rejected = version % 9 == 4 and version not in (champion, newest, champion - 1)
    gates = [
        {
            "name": name,
            "passed": not (rejected and name == "champion"),
            "figure": auc,
            "limit": 0.7,
            "reason": "as it must",
        }
        for name in GATES
    ]
    state = "rejected" if rejected else "retired"
    if version > champion:
        state = "canary"
    elif version == champion:
        state = "champion"
    elif version == champion - 1:
        state = "last_good"
    elif version == champion - 2 and not rejected:
        state = "rolled_back"
    reasons = {
        "canary": "step 2: 0 of 1,204 answers failed",
        "champion": "the last canary step is over",
        "rejected": "auc too low",
    }
    row = {
        "model": story.name,
        "version": version,
        "state": state,
        "digest": uuid.UUID(int=rng.getrandbits(128)).hex * 2,
        "request_id": request,
        "training_rows": 64_000 + 100 * version,
        "metrics": {"auc": auc, "log_loss": round(0.9 - auc / 2, 4), "accuracy": round(auc + 0.04, 4)},
        "gates": gates,
        "champion_version": version - 1 if version > 1 else None,
        "champion_metrics": {"auc": auc - 0.004},
        "share": 0.25 if state == "canary" else float(state == "champion"),
        "reason": reasons.get(state, "as the rule says"),
        "changed_at": at + timedelta(minutes=30),
        "promoted_at": at + timedelta(minutes=30) if state in ("champion", "last_good", "retired") else None,
        "last_used": at + story.every,
        "traceparent": f"00-{trace}-{'b' * 16}-01",
    }
    common = {"model": story.name, "version": version, "trace_id": trace}
    digest, release = row["digest"], f"{story.name}-{version}"
    says: list[tuple[float, str, dict[str, Any]]] = [
        (-9, "TrainingRequested", {"request_id": request, "reason": "nightly", "requested_by": "schedule"}),
        (-8, "TrainingAccepted", {"request_id": request}),
        (0, "TrainingCompleted", {"version": version, "training_rows": row["training_rows"]}),
    ]
    if rejected:
        says.append((1, "ModelRejected", {"version": version, "reason": "champion: auc 0.71, 0.75 of the champion"}))
    else:
        step = {"version": version, "release_id": release, "generation": 2 * version, "by": "rule ready"}
        says += [
            (1, "ModelApproved", {"version": version, "gates": gates, "digest": digest}),
            (
                3,
                "ReleaseProgressed",
                step | _step("loading", "canary", 0.1, "ready on 3 of 3 instances", {"ready": 3.0}),
            ),
            (
                15,
                "ReleaseProgressed",
                step
                | _step("canary", "canary", 0.25, "0 of 512 answers failed (0.0%)", {"answers": 512.0, "errors": 0.0}),
            ),
        ]
        if state == "rolled_back":
            back = {"version": version, "champion_version": version - 1, "reason": "2.1 % of answers failed"}
            says.append((20, "ReleaseRolledBack", back))
        elif state != "canary":
            says.append(
                (30, "ReleasePromoted", {"version": version, "previous_version": version - 1, "reason": "canary over"})
            )
    events = [
        {
            **common,
            "version": payload.get("version"),
            "event_id": f"{release}-{i}-{name}",
            "source": "shipway/tests",
            "type": f"shipway.{name}.v1",
            "at": at + timedelta(minutes=minutes),
            "payload": {"model": story.name, **payload},
        }
        for i, (minutes, name, payload) in enumerate(says)
    ]
    done = {"request_id": request, "model": story.name, "state": "trained", "reason": "nightly", "version": version}
    return row, events, done | {"changed_at": at, "stage": "record", "fraction": 1.0, "message": ""}


def _step(before: str, after: str, share: float, reason: str, figures: dict[str, float]) -> dict[str, Any]:
    return {"from_state": before, "to_state": after, "candidate_share": share, "reason": reason, "figures": figures}


async def _traffic(tx: Transaction, story: Story, newest: int, champion: int, begin: datetime, now: datetime) -> None:
    """A row a minute and outcome, by a daily wave; the champion of the moment answers."""
    every_s = story.every.total_seconds()
    statement = sa.text("""
        insert into usage (model, version, minute, outcome, count, latency_us_sum, latency_us_max)
        select :model,
            greatest(1, least(:champion, :newest - ceil(extract(epoch from (:now - m)) / :every_s)::int + 1)),
            m, o.outcome, n.count, n.count * (900 + 200 * sin(extract(epoch from m) / 7000)), 9000
        from generate_series(date_trunc('minute', cast(:begin as timestamptz)), :now, '1 minute') m
        cross join (values ('answered', 1.0), ('failed', :failing)) o(outcome, part)
        cross join lateral (select ceil(o.part * :per_minute
            * (0.55 + 0.45 * sin((extract(epoch from m) / 86400 - 0.3) * 2 * pi())) + o.part)::bigint as count) n
        where n.count > 0 and (o.outcome = 'answered' or extract(epoch from m)::bigint / 60 % 17 = 0)
        on conflict do nothing""")
    values = {"model": story.name, "champion": champion, "newest": newest, "now": now, "begin": begin}
    failing = 0.12 if story.failing else 0.001
    await tx.execute(statement, values | {"every_s": every_s, "per_minute": story.per_minute, "failing": failing})
    if newest > champion:
        candidate = sa.text("""
            insert into usage select model, :newest, minute, outcome, greatest(1, count / 3), latency_us_sum / 3,
            latency_us_max from usage where model = :model and minute > :since and outcome = 'answered'
            on conflict do nothing""")
        await tx.execute(candidate, {"newest": newest, "model": story.name, "since": now - timedelta(hours=2)})


async def _latencies(
    tx: Transaction, story: Story, newest: int, champion: int, begin: datetime, now: datetime, rng: random.Random
) -> None:
    """An hour's and five minutes' answers, a half to a millisecond or two, the slowest up to twenty."""
    rows: list[dict[str, Any]] = []
    for width, keep in latencies.KEEP.items():
        moment = begin_of(max(begin, now - keep), width)
        while moment <= now:
            version = max(1, min(champion, newest - math.ceil((now - moment) / story.every) + 1))
            counts, slow = [0] * LATENCIES, round(rng.uniform(0, 2) + math.sin(moment.timestamp() / 90_000))
            for place, part in ((18, 0.3), (19, 0.4), (20, 0.2), (22, 0.08), (26 + slow, 0.02)):
                counts[place] += round(part * 50 * story.per_minute)
            key = {"model": story.name, "width_s": int(width.total_seconds()), "begin": moment, "version": version}
            rows.append(key | {"counts": msgspec.msgpack.encode(counts)})
            moment += width
    await _insert(tx, t.latencies, rows)


async def _quality(
    tx: Transaction, story: Story, newest: int, champion: int, begin: datetime, now: datetime, rng: random.Random
) -> None:
    hours: list[dict[str, Any]] = []
    totals: dict[int, Quality] = {}
    moment = begin.replace(minute=0, second=0, microsecond=0)
    while moment < now - timedelta(hours=6):
        version = max(1, min(champion, newest - math.ceil((now - moment) / story.every) + 1))
        labelled = int(9 * story.per_minute * (0.6 + 0.3 * math.sin(moment.timestamp() / 90_000)))
        loss = 0.16 + 0.01 * math.sin(moment.timestamp() / 400_000) + rng.uniform(-0.004, 0.004)
        sums = Quality(labelled=labelled, loss_sum=loss * labelled, loss_square_sum=labelled * (loss**2 + 0.02))
        sums.delays = [labelled, *([0] * len(AGES))]
        hours.append({"model": story.name, "version": version, "hour": moment, "sums": vars(sums)})
        totals.setdefault(version, Quality()).add(sums)
        moment += timedelta(hours=1)
    await _insert(tx, t.quality, hours)
    span = {"predicted_from": begin, "predicted_to": now, "changes": 1}
    rows = [{"model": story.name, "version": v, "sums": vars(sums), **span} for v, sums in totals.items()]
    await _insert(tx, t.quality_totals, rows)


async def _watched(tx: Transaction, story: Story, champion: int, now: datetime, rng: random.Random) -> None:
    """The reference of the champion, a day of windows, what is found in them, and alerts."""
    numbers = np.random.default_rng(7)
    signature = Signature(
        features=[Feature(name=name, type="number") for name in FEATURES],
        output="binary",
        target="y",
        classes=["0", "1"],
    )
    reference = numbers.normal(size=(5000, len(FEATURES)))
    bins = make_bins(signature, reference, 1 / (1 + np.exp(-reference[:, :1])))
    await _insert(tx, t.reference_bins, [{"model": story.name, "version": champion, "bins": pack(bins)}])
    hour = now.replace(minute=0, second=0, microsecond=0)
    windows = []
    for back in range(24):
        window = _summary(bins, numbers, moved=1.1 if story.drifting else 0.05, slow=back % 6)
        row = {"model": story.name, "begin": hour - timedelta(hours=back), "width_s": 3600, "version": champion}
        windows.append(row | {"requests": window.answered, "late": 0, "data": pack(window)})
    await _insert(tx, t.windows, windows)
    found = []
    for i, name in enumerate((*FEATURES, "score")):
        drifts = story.drifting and i < 2
        figure = round(0.34 - 0.08 * i if drifts else rng.uniform(0.005, 0.05), 4)
        past = [
            {"at": (hour - timedelta(days=d)).isoformat(), "state": "ok", "figure": figure * rng.uniform(0.7, 1.0)}
            for d in range(12, 0, -1)
        ]
        found.append(
            {
                "model": story.name,
                "version": champion,
                "kind": "drift",
                "subject": name,
                "begin": hour - timedelta(hours=1),
                "end": hour,
                "state": "drift" if drifts else "ok",
                "alarm": drifts,
                "figure": figure,
                "limit": 0.1,
                "p": 1e-9 if drifts else 0.4,
                "reason": f"{figure:.1%} of 20,000 predictions lie elsewhere than in the reference",
                "recent": past,
            }
        )
    await _insert(tx, t.findings, found)
    alarms = [("drift", one["subject"], "warning", one["reason"]) for one in found if one["alarm"]]
    if story.failing:
        alarms.append(("errors", "", "critical", "12 % of 41,000 requests failed; 5 % are allowed"))
    await _insert(
        tx,
        t.alerts,
        [
            {
                "id": f"{story.name}-{i}",
                "model": story.name,
                "version": champion,
                "kind": kind,
                "subject": subject,
                "severity": severity,
                "figure": 0.12,
                "limit": 0.05,
                "reason": reason,
                "raised_at": now - timedelta(minutes=50 + 7 * i),
                "changed_at": now - timedelta(minutes=50),
                "changes": 1,
                "quiet": 0,
            }
            for i, (kind, subject, severity, reason) in enumerate(alarms)
        ],
    )


def _summary(bins: Bins, numbers: np.random.Generator, *, moved: float, slow: int) -> Summary:
    rows = numbers.normal(size=(800, len(FEATURES)))
    rows[:, :2] += moved
    score = 1 / (1 + np.exp(-rows[:, 0]))
    window = Summary(answered=800, binned=800, rows=800)
    window.cells = np.concatenate([cells_of(column, rows[:, i]) for i, column in enumerate(bins.features)])
    window.score = cells_of(bins.score, score)
    window.answers = np.array([500, 300])
    window.latencies = np.zeros(LATENCIES, np.int64)
    window.latencies[18 + slow] = 800
    return window


async def _letters(tx: Transaction, now: datetime) -> None:
    headers = [("ce_type", b"shipway.TrainingRequested.v1"), ("ce_id", b"e1"), ("ce_source", b"airflow")]
    rows = [
        {
            "service": "trainer",
            "topic": "shipway.training-requests",
            "partition": 0,
            "broker_offset": 12 + i,
            "type": "shipway.TrainingRequested.v1",
            "reason": "until: must be a moment with a time zone, such as 2026-03-01T00:00:00Z",
            "error": "InvalidField",
            "at": now - timedelta(hours=3 * i + 1),
            "key": b"flights",
            "value": json.dumps({"model": "flights", "request_id": f"r{i}", "until": "tomorrow"}).encode(),
            "headers": msgspec.msgpack.encode(headers),
        }
        for i in range(2)
    ]
    await _insert(tx, t.dead_letters, rows)
