"""What the tests of the releaser's rules share: models in their plainest states, and instances that hold versions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shipway.contract.spec import Release as Policy
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.release import Decision, decide
from shipway.releaser.state import Limits, Model, Release, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(drain=timedelta(seconds=2), standby=10)
POLICY = Policy(min_instances=2, canary=[0.1, 0.5], step=timedelta(seconds=60), min_requests=20, max_error_share=0.05)


def digest(number: int) -> str:
    return f"{number:064x}"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def approved(model: Model, number: int, policy: Policy = POLICY) -> Model:
    return replace(
        model,
        versions={**model.versions, number: Version(number, digest(number))},
        releases={**model.releases, number: Release(f"flights-{number}", number, policy, START)},
    )


def degraded(version: Version, why: str) -> Version:
    """The first reason stays."""
    return replace(version, degraded=version.degraded or why)


def retiring(version: Version, why: str) -> Version:
    """The first reason stays."""
    return replace(version, retiring=version.retiring or why)


def said_of(model: Model, number: int, **what: str) -> Model:
    changes: dict[str, Any] = dict(what)
    return replace(model, versions={**model.versions, number: replace(model.versions[number], **changes)})


def holding(*numbers: int, names: str = "pq", started_at: datetime = START, **counts: int) -> list[Instance]:
    """Instances that hold these versions ready; the counts are those of the newest of them, on each."""
    newest = max(numbers, default=0)
    return [
        Instance(
            name,
            started_at,
            {
                n: Loaded(digest(n), "ready", answered=counts["answered"], errors=counts["errors"])
                if n == newest and counts
                else Loaded(digest(n), "ready")
                for n in numbers
            },
        )
        for name in names
    ]


def look(model: Model, instances: list[Instance], seconds: float = 0) -> Decision:
    return decide(model, instances, after(seconds), LIMITS)


def serving(number: int = 1) -> Model:
    """A model with that champion and nothing else."""
    return look(approved(Model("flights"), number), holding(number)).model


def in_canary() -> Model:
    """Champion 1, and candidate 2 in its first step since START."""
    return look(approved(serving(), 2), holding(1, 2)).model


def told(decision: Decision) -> list[str]:
    return [type(event).__name__ for event in decision.events]


def only(decision: Decision, kind: type[Any]) -> Any:
    (event,) = [event for event in decision.events if isinstance(event, kind)]
    return event


def promoted_to(*numbers: int) -> Model:
    """Each of these versions was promoted in turn."""
    policy = POLICY.model_copy(update={"canary": []})
    model = Model("flights")
    for number in numbers:
        model = look(approved(model, number, policy), holding(*range(1, number + 1))).model
    return model
