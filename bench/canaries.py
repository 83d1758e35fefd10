"""Simulated releases, shadows and retirements: how often as good a version is taken for worse, and a worse one caught.

`make canaries` runs 200 of each kind and, with ``--write``, puts the tables into docs/releases.md;
``--only shadows`` is for one of them.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from simulated_releases import POLICY, SHADOW, Behaviour, Outcome, released
from simulated_retirements import retired

PAGE = Path(__file__).parents[1] / "docs" / "releases.md"
GOOD = Behaviour()


@dataclass(frozen=True)
class Kind:
    """A kind of release: in words, the candidate, the share of answers with a label, and what should become of it."""

    words: str
    candidate: Behaviour
    labels: float = 0.0
    passes: bool = False


CANARIES = (
    Kind("as good (A/A)", GOOD, labels=0.2, passes=True),
    Kind("0.5 % more errors, which is allowed", Behaviour(errors=0.01), labels=0.2, passes=True),
    Kind("1 % more errors, the most that is allowed", Behaviour(errors=0.015), labels=0.2, passes=True),
    Kind("4 % of answers fail", Behaviour(errors=0.04)),
    Kind("6 % of answers fail", Behaviour(errors=0.06)),
    Kind("20 % of answers fail", Behaviour(errors=0.2)),
    Kind("half as slow again", Behaviour(median_us=600.0)),
    Kind("twice as slow", Behaviour(median_us=800.0)),
    Kind("loss 0.25 for 0.15, labels for all", Behaviour(loss=0.25), labels=1.0),
    Kind("loss 0.35 for 0.15, labels for a fifth", Behaviour(loss=0.35), labels=0.2),
)
SHADOWS = (
    Kind("as good (A/A), scores 0.02 apart", GOOD, passes=True),
    Kind("scores 0.25 apart, the most that is allowed", Behaviour(distance=0.25), passes=True),
    Kind("scores 0.30 apart", Behaviour(distance=0.3)),
    Kind("scores 0.40 apart", Behaviour(distance=0.4)),
    Kind("6 % of answers fail", Behaviour(errors=0.06)),
    Kind("20 % of answers fail", Behaviour(errors=0.2)),
    Kind("twice as slow", Behaviour(median_us=800.0)),
)
# What a version's mean loss is in words, where the champion's is 0.15; and what it is.
RETIREMENTS = (
    ("as good (A/A)", 0.15),
    ("better, 0.14", 0.14),
    ("worse, 0.16", 0.16),
    ("worse, 0.17", 0.17),
    ("worse, 0.20", 0.20),
    ("worse, 0.25", 0.25),
)


def canaries(runs: int, pool: Executor) -> Iterable[str]:
    """So many canaries of each kind, as the lines of a table in Markdown."""
    yield "| candidate | promoted | rolled back | answers of the candidate until then: median, 95 % | time: median |"
    yield "|---|---|---|---|---|"
    for kind in CANARIES:
        yield _released(kind, partial(released, candidate=kind.candidate, policy=POLICY), runs, pool)


def shadows(runs: int, pool: Executor) -> Iterable[str]:
    """So many shadows of each kind, likewise."""
    yield "| shadow | goes on to its canary | rolled back | copies until then: median, 95 % | time: median |"
    yield "|---|---|---|---|---|"
    for kind in SHADOWS:
        yield _released(kind, partial(released, candidate=kind.candidate, policy=SHADOW), runs, pool)


def retirements(runs: int, pool: Executor) -> Iterable[str]:
    """So many versions of each mean loss beside a champion, likewise."""
    yield "| version, by its mean loss | retired | labels of the champion until then: median, 95 % |"
    yield "|---|---|---|"
    for words, loss in RETIREMENTS:
        found = list(pool.map(partial(retired, loss=loss), range(runs), chunksize=5))
        gone = [outcome.labels for outcome in found if outcome.retired]
        yield f"| {words} | {len(gone) / runs:.1%} | {_spread(gone) if gone else '-'} |"


def _released(kind: Kind, run: Callable[..., Outcome], runs: int, pool: Executor) -> str:
    found = list(pool.map(partial(run, champion=GOOD, labels=kind.labels), range(runs), chunksize=5))
    back = [outcome for outcome in found if outcome.state == "rolled_back"]
    those = found if kind.passes else back
    minutes = statistics.median([outcome.seconds for outcome in those] or [0.0]) / 60
    shares = f"{1 - len(back) / runs:.1%} | {len(back) / runs:.1%}"
    return f"| {kind.words} | {shares} | {_spread([o.answers for o in those])} | {minutes:.1f} min |"


def _spread(counts: Sequence[int]) -> str:
    ordered = sorted(counts) or [0]
    return f"{statistics.median(ordered):,.0f}, {ordered[int(0.95 * (len(ordered) - 1))]:,.0f}"


TABLES = {"canaries": canaries, "shadows": shadows, "retirements": retirements}


def main() -> None:
    """Runs the simulations, prints their tables, and writes them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=TABLES, help="one table alone")
    parser.add_argument("--write", action="store_true", help="renew the tables in docs/releases.md")
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes) as pool:
        for name in [asked.only] if asked.only else TABLES:
            lines = []
            for line in TABLES[name](asked.runs, pool):
                lines.append(line)
                print(line, file=sys.stderr)
            if asked.write:
                _write(name, "\n".join(lines) + "\n")


def _write(name: str, table: str) -> None:
    begin, end = f"<!-- {name}: written by `make canaries CANARIES=--write` -->\n", f"<!-- end of {name} -->"
    before, found, rest = PAGE.read_text().partition(begin)
    assert found, f"{PAGE} has no place for {name}"
    PAGE.write_text(before + begin + table + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
