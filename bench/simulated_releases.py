"""A release over the releaser's own rules, with a champion and a candidate that answer at random.

The rules look every few seconds at what an instance would report.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from shipway.contract.latency import BUCKETS, bucket
from shipway.contract.spec import Release as Policy
from shipway.releaser.counts import Instance, Loaded, Quality
from shipway.releaser.release import decide
from shipway.releaser.state import Limits, Model, Release, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(drain=timedelta(seconds=2), standby=2)
LOOK_S = 5.0
POLICY = Policy(
    canary=[0.1, 0.5],
    step=timedelta(minutes=5),
    min_requests=1000,
    max_error_share=0.05,
    step_deadline=timedelta(minutes=30),
)
SHADOW = POLICY.model_copy(update={"shadow": 0.2})


@dataclass(frozen=True)
class Behaviour:
    """How a version answers: the share that fails, the time of an answer (log-normal), its mean loss by labels, and how
    far its scores lie from the champion's on average.
    """

    errors: float = 0.005
    median_us: float = 400.0
    spread: float = 0.4
    loss: float = 0.15
    distance: float = 0.02


@dataclass
class Counts:
    """What a version has answered so far."""

    answered: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    labelled: int = 0
    loss_sum: float = 0.0
    compared: int = 0
    distance: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a simulated release ended (``canary``: it is over as a shadow), why, what the candidate had answered by then,
    and after how long.
    """

    state: str
    reason: str
    answers: int
    seconds: float


def released(
    seed: int,
    champion: Behaviour,
    candidate: Behaviour,
    policy: Policy = POLICY,
    per_s: float = 20.0,
    labels: float = 0.0,
) -> Outcome:
    """A release from its first step to its end, at ``per_s`` requests a second, a share of them with labels. With a
    shadow that is its first and only step, as the canary after it is one like any other.
    """
    random = Random(seed)
    counts = {1: Counts(), 2: Counts()}
    _answer(counts[1], champion, 2000, random, labels)
    model, now = _waiting(policy), START
    while True:
        instance = Instance("p", START, {n: _loaded(n, c) for n, c in counts.items()})
        model = decide(_learnt(model, counts), [instance], now, LIMITS).model
        release = model.releases[2]
        if release.state not in ("approved", "loading", "shadow" if policy.shadow else "canary"):
            answers = counts[2].answered + counts[2].errors
            return Outcome(release.state, release.reason, answers, (now - START).total_seconds())
        now += timedelta(seconds=LOOK_S)
        for version, behaviour in ((1, champion), (2, candidate)):
            expected = per_s * LOOK_S * dict(model.desired.traffic).get(version, 0.0)
            _answer(counts[version], behaviour, int(expected + random.random()), random, labels)
        if model.desired.shadow is not None:
            copies = int(per_s * LOOK_S * model.desired.shadow[1] + random.random())
            _answer(counts[2], candidate, copies, random, labels=0.0, copied=True)


def _answer(
    counts: Counts, behaviour: Behaviour, requests: int, random: Random, labels: float, copied: bool = False
) -> None:
    """So many requests more; a share of them gets a label at once, with a loss as a probability's would be. Those that
    are ``copied`` are compared with the champion's.
    """
    for _ in range(requests):
        if random.random() < behaviour.errors:
            counts.errors += 1
            continue
        counts.answered += 1
        counts.latency[bucket(behaviour.median_us * random.lognormvariate(0, behaviour.spread))] += 1
        if random.random() < labels:
            counts.labelled += 1
            counts.loss_sum += random.betavariate(2 * behaviour.loss, 2 * (1 - behaviour.loss))
        if copied:
            counts.compared += 1
            counts.distance += random.betavariate(2 * behaviour.distance, 2 * (1 - behaviour.distance))


def _waiting(policy: Policy) -> Model:
    """Version 1 is the champion, and version 2 is approved."""
    versions = {1: Version(1, _digest(1), role="champion"), 2: Version(2, _digest(2))}
    releases = {
        1: Release("m-1", 1, policy, START, state="active"),
        2: Release("m-2", 2, policy, START),
    }
    return Model("m", versions=versions, releases=releases)


def _digest(number: int) -> str:
    return f"{number:064x}"


def _loaded(number: int, counts: Counts) -> Loaded:
    told = (counts.answered, counts.errors, tuple(counts.latency), counts.compared, counts.distance)
    return Loaded(_digest(number), "ready", "", *told)


def _learnt(model: Model, counts: dict[int, Counts]) -> Model:
    """The model once the releaser has heard of the labels."""
    quality = {n: Quality(c.labelled, c.loss_sum) for n, c in counts.items()}
    return replace(model, versions={n: replace(v, quality=quality[n]) for n, v in model.versions.items()})
