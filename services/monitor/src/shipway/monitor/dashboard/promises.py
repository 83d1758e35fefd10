"""Service levels for people: what is promised, how often it was kept, what is left of the error budget. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shipway.monitor.measuring import Measured


@dataclass(frozen=True)
class Promise:
    """A level. ``kept``: the share that kept it, of ``total``; ``left``: of the error budget, 0 to 1 for a bar.

    ``state``: ok, burning (the budget goes too fast), spent, or nothing yet.
    """

    name: str
    of: str
    target: str
    objective: float
    kept: float | None
    total: int
    left: float
    state: str
    holds: bool


def promises(measured: Sequence[Measured], spent: Mapping[str, bool]) -> list[Promise]:
    """The levels in the order of a version's life; ``spent``: whose budget is gone, and whether it holds releases."""
    return [_promise(one, spent) for one in measured]


def _promise(one: Measured, spent: Mapping[str, bool]) -> Promise:
    counts, name = one.budget.counts, one.level.name
    if name in spent:
        state = "spent"
    elif any(burn is not None for burn in one.burns.values()):
        state = "burning"
    else:
        state = "ok" if counts.total else "nothing yet"
    return Promise(
        name=name,
        of=one.level.of,
        target=one.level.words,
        objective=one.level.objective,
        kept=counts.good / counts.total if counts.total else None,
        total=counts.total,
        left=min(max(one.budget.left, 0.0), 1.0),
        state=state,
        holds=bool(spent.get(name)),
    )
