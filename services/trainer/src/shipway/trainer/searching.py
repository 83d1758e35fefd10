"""What a search makes of its trials: which parameters become candidates, and how it is told. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A training with other parameters. ``figure``: the metric on the validation rows, of one that was ``done``.

    ``pruned``: it was ended, because others did better by then. ``failed``: its figure is not defined.
    """

    params: dict[str, Any]
    state: Literal["done", "pruned", "failed"]
    figure: float | None = None
    rounds: int = 0
    seconds: float = 0.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search knows. ``baseline`` is the figure of the model file's own parameters."""

    metric: str
    wanted: int
    baseline: float | None = None
    trials: list[Trial] = []
    baseline_seconds: float = 0.0

    @property
    def spent_s(self) -> float:
        """What its trainings have taken, in seconds."""
        return self.baseline_seconds + sum(trial.seconds for trial in self.trials)


def best(trials: Iterable[Trial], count: int, *, higher: bool) -> list[Trial]:
    """The trials that did best, the best first, each set of parameters once."""
    done = [trial for trial in trials if trial.state == "done" and trial.figure is not None]
    ranked = sorted(done, key=lambda trial: (trial.figure or 0.0) * (-1 if higher else 1))
    distinct: dict[tuple[tuple[str, Any], ...], Trial] = {}
    for trial in ranked:
        distinct.setdefault(tuple(sorted(trial.params.items())), trial)
    return list(distinct.values())[:count]


def words(found: Found, *, higher: bool) -> str:
    """How a search stands, in a line."""
    counts = {state: sum(trial.state == state for trial in found.trials) for state in ("pruned", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    line = f"{len(found.trials)} of {found.wanted} trials" + (f" ({told})" if told else "")
    leader: Sequence[Trial] = best(found.trials, 1, higher=higher)
    if leader:
        line += f"; best {found.metric} {leader[0].figure:.5g}"
    if found.baseline is not None:
        line += f", {found.baseline:.5g} by the model file's own parameters"
    return line


def request_of(search: str, number: int) -> str:
    """The request id of a search's candidate, counted from 1."""
    return f"{search}.{number}"


def with_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a candidate's job lays over the model file."""
    return {"training": {"params": dict(params)}}
