"""The API of service levels: each phase and level with its target, what was counted, and its error budget."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path
from pydantic import BaseModel

from shipway.monitor import measuring, spending, store
from shipway.monitor.levels import phase_targets
from shipway.monitor.measuring import Measured
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.openapi import problems


class Burning(BaseModel):
    """The budget goes ``rate`` times as fast as it would last, over the last ``window_s`` and a twelfth of it."""

    pace: str
    rate: float
    limit: float
    window_s: float


class ServiceLevel(BaseModel):
    """A level: ``objective`` is the share of ``good`` of both that it must keep; ``target_s``: in so long; null: that
    it does not fail. ``allowed`` may miss it in the budget's window, of which a share of ``left`` is left (1: all;
    below 0: overspent). ``rates``: by seconds up to now, how many times faster than it would last the budget goes.
    ``median_s`` and ``p95_s``: how long runs of the phase took.
    """

    name: str
    of: str
    target_s: float | None
    objective: float
    good: int
    bad: int
    allowed: float
    left: float
    rates: dict[str, float]
    burning: list[Burning]
    median_s: float | None
    p95_s: float | None


class Late(BaseModel):
    """A request or version that takes longer than its phase may."""

    phase: str
    subject: str
    begun_at: datetime
    target_s: float


class ServiceLevels(BaseModel):
    """A model's service levels. ``spent``: the levels whose budget is gone; ``holds_releases``: no release goes on."""

    model: str
    budget_window_s: float
    levels: list[ServiceLevel]
    overdue: list[Late]
    spent: list[str]
    holds_releases: bool


def add_level_routes(app: FastAPI, database: Database) -> None:
    """Adds them."""

    @app.get(
        "/api/models/{model}/levels",
        tags=["models"],
        summary="Service levels: targets, what kept them, error budgets, what is overdue",
        responses=problems(404, 422, 503),
        response_model=ServiceLevels,
    )
    async def levels(model: Annotated[str, Path(max_length=256, pattern=r"^[^\x00]*$")]) -> dict[str, Any]:
        now = datetime.now(UTC)
        async with database.begin() as tx:
            spec = await store.spec_of(tx, model)
            if spec is None:
                raise Problem(404, f"model {model[:100]!r} is not known here")
            measured = await measuring.measure(tx, model, spec, now)
            overdue = await measuring.overdue(tx, model, spec, now)
            spent = await spending.spent(tx, model)
        targets = phase_targets(spec)
        return {
            "model": model,
            "budget_window_s": spec.service_levels.budget_window.total_seconds(),
            "levels": [_shown(one) for one in measured],
            "overdue": [
                {
                    "phase": one.phase,
                    "subject": one.subject,
                    "begun_at": one.begun_at,
                    "target_s": targets[one.phase].total_seconds(),
                }
                for one in overdue
            ],
            "spent": sorted(spent),
            "holds_releases": any(spent.values()),
        }


def _shown(one: Measured) -> dict[str, Any]:
    level, budget = one.level, one.budget
    return {
        "name": level.name,
        "of": level.of,
        "target_s": level.target.total_seconds() if level.target is not None else None,
        "objective": level.objective,
        "good": budget.counts.good,
        "bad": budget.counts.bad,
        "allowed": budget.allowed,
        "left": budget.left,
        "rates": one.rates,
        "burning": [
            {"pace": burn.pace, "rate": burn.rate, "limit": burn.limit, "window_s": burn.window.total_seconds()}
            for burn in one.burns.values()
            if burn is not None
        ],
        "median_s": one.median_s,
        "p95_s": one.p95_s,
    }
