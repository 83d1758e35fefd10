"""How a model is, in one word and a sentence: the first thing that is wrong, the worst first. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["healthy", "attention", "broken", "idle"]
WORST_FIRST: tuple[State, ...] = ("broken", "attention", "idle", "healthy")


@dataclass(frozen=True)
class Facts:
    """What is known of a model now. ``ready``: instances on which the champion is ready, of ``instances`` present.

    ``alerts``: the open ones, those that people look after included; ``degraded``: the champion broke its level.
    """

    champion: int | None
    degraded: bool = False
    alerts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    ready: int = 0
    instances: int = 0
    frozen: bool = False
    waiting: Sequence[int] = ()
    failed_request: str | None = None


@dataclass(frozen=True)
class Health:
    """The word and the sentence."""

    state: State
    reason: str


def health_of(facts: Facts) -> Health:
    """The worst that is true of a model."""
    if facts.champion is None:
        if facts.failed_request:
            return Health("attention", f"no version serves yet; the last training failed: {facts.failed_request}")
        return Health("idle", "no version serves yet")
    if not facts.ready:
        return Health("broken", f"version {facts.champion} is ready on none of {facts.instances} instances")
    if facts.degraded:
        return Health("broken", f"version {facts.champion} broke its service level")
    loud = [a for a in facts.alerts if a["acked_by"] is None and not a["silenced"]]
    for severity, state in (("critical", "broken"), ("warning", "attention")):
        found = [a for a in loud if a["severity"] == severity]
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            return Health("broken" if state == "broken" else "attention", f"{subject(found[0])}{more}")
    if facts.ready < facts.instances:
        return Health("attention", f"the champion is ready on {facts.ready} of {facts.instances} instances")
    if facts.waiting:
        listed = ", ".join(str(v) for v in facts.waiting)
        return Health("attention", f"version {listed} waits for approval")
    if facts.frozen:
        return Health("attention", "releases are frozen")
    if facts.alerts:
        return Health("healthy", f"{len(facts.alerts)} open alert{'s' * (len(facts.alerts) > 1)}, looked after")
    return Health("healthy", "as usual")


def subject(alert: Mapping[str, Any]) -> str:
    """What an alert is about: "drift of carrier (version 3)"."""
    of = f" of {alert['subject']}" if alert["subject"] else ""
    return f"{alert['kind']}{of}" + (f" (version {alert['version']})" if alert["version"] else "")
