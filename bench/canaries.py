"""Simulated releases over the releaser's own rules: how often as good a version is rolled back, and a worse one caught.

A champion and a candidate answer at random; the rules look every few seconds at what an instance would report.
`make canaries` runs 200 of each kind and, with ``--write``, puts the table into docs/releases.md.
"""

import argparse
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from shipway.contract.latency import BUCKETS, bucket
from shipway.contract.spec import Release as Policy
from shipway.releaser.release import decide
from shipway.releaser.state import Instance, Limits, Loaded, Model, Quality, Release, Version

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
PAGE = Path(__file__).parents[1] / "docs" / "releases.md"
BEGIN, END = "<!-- canaries: written by `make canaries CANARIES=--write` -->\n", "<!-- end of canaries -->"


@dataclass(frozen=True)
class Behaviour:
    """How a version answers: the share that fails, the time of an answer (log-normal), and its mean loss by labels."""

    errors: float = 0.005
    median_us: float = 400.0
    spread: float = 0.4
    loss: float = 0.15


@dataclass
class Counts:
    """What a version has answered so far."""

    answered: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    labelled: int = 0
    loss_sum: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a simulated release ended, why, what the candidate had answered by then, and after how long."""

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
    """A release from its first canary step to its end, at ``per_s`` requests a second, a share of them with labels."""
    random = Random(seed)
    counts = {1: Counts(), 2: Counts()}
    _answer(counts[1], champion, 2000, random, labels)
    model, now = _waiting(policy), START
    while True:
        instance = Instance("p", START, {n: _loaded(n, c) for n, c in counts.items()})
        model = decide(_learnt(model, counts), [instance], now, LIMITS).model
        release = model.releases[2]
        if release.state not in ("approved", "loading", "canary"):
            answers = counts[2].answered + counts[2].errors
            return Outcome(release.state, release.reason, answers, (now - START).total_seconds())
        now += timedelta(seconds=LOOK_S)
        for version, behaviour in ((1, champion), (2, candidate)):
            expected = per_s * LOOK_S * dict(model.desired.traffic).get(version, 0.0)
            _answer(counts[version], behaviour, int(expected + random.random()), random, labels)


def _answer(counts: Counts, behaviour: Behaviour, requests: int, random: Random, labels: float) -> None:
    """So many requests more; a share of them gets a label at once, with a loss as a probability's would be."""
    for _ in range(requests):
        if random.random() < behaviour.errors:
            counts.errors += 1
            continue
        counts.answered += 1
        counts.latency[bucket(behaviour.median_us * random.lognormvariate(0, behaviour.spread))] += 1
        if random.random() < labels:
            counts.labelled += 1
            counts.loss_sum += random.betavariate(2 * behaviour.loss, 2 * (1 - behaviour.loss))


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
    return Loaded(_digest(number), "ready", "", counts.answered, counts.errors, tuple(counts.latency))


def _learnt(model: Model, counts: dict[int, Counts]) -> Model:
    """The model once the releaser has heard of the labels."""
    quality = {n: Quality(c.labelled, c.loss_sum) for n, c in counts.items()}
    return replace(model, versions={n: replace(v, quality=quality[n]) for n, v in model.versions.items()})


@dataclass(frozen=True)
class Kind:
    """A kind of release: in words, the candidate, the share of answers with a label, and what should become of it."""

    words: str
    candidate: Behaviour
    labels: float = 0.0
    promoted: bool = False


GOOD = Behaviour()
KINDS = (
    Kind("as good (A/A)", GOOD, labels=0.2, promoted=True),
    Kind("0.5 % more errors, which is allowed", Behaviour(errors=0.01), labels=0.2, promoted=True),
    Kind("1 % more errors, the most that is allowed", Behaviour(errors=0.015), labels=0.2, promoted=True),
    Kind("4 % of answers fail", Behaviour(errors=0.04)),
    Kind("6 % of answers fail", Behaviour(errors=0.06)),
    Kind("20 % of answers fail", Behaviour(errors=0.2)),
    Kind("half as slow again", Behaviour(median_us=600.0)),
    Kind("twice as slow", Behaviour(median_us=800.0)),
    Kind("loss 0.25 for 0.15, labels for all", Behaviour(loss=0.25), labels=1.0),
    Kind("loss 0.35 for 0.15, labels for a fifth", Behaviour(loss=0.35), labels=0.2),
)


def table(runs: int, processes: int) -> str:
    """So many releases of each kind, as a table in Markdown."""
    lines = [
        "| candidate | promoted | rolled back | answers of the candidate until then: median, 95 % | time: median |"
    ]
    lines.append("|---|---|---|---|---|")
    with ProcessPoolExecutor(processes) as pool:
        for kind in KINDS:
            run = partial(released, champion=GOOD, candidate=kind.candidate, labels=kind.labels)
            found = list(pool.map(run, range(runs), chunksize=5))
            back = [o for o in found if o.state == "rolled_back"]
            those = found if kind.promoted else back
            answers = sorted(o.answers for o in those) or [0]
            middle, most = statistics.median(answers), answers[int(0.95 * (len(answers) - 1))]
            minutes = statistics.median([o.seconds for o in those] or [0.0]) / 60
            shares = f"{1 - len(back) / runs:.1%} | {len(back) / runs:.1%}"
            lines.append(f"| {kind.words} | {shares} | {middle:,.0f}, {most:,.0f} | {minutes:.1f} min |")
            print(lines[-1], file=sys.stderr)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the simulation, prints the table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="releases of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="renew the table in docs/releases.md")
    asked = parser.parse_args()
    found = table(asked.runs, asked.processes)
    print(found)
    if asked.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + found + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
