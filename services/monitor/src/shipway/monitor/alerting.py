"""When an alert begins, changes and ends, by what windows say. Pure.

One alert for as long as something is unusual: it is not raised again while it lasts, told again only where the figure
has changed much, and ended after some windows without it, so that it does not come and go with every other window.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shipway.monitor import retraining
from shipway.monitor.judgement import DRIFT, NEW_COMBINATIONS, Finding

Severity = Literal["critical", "warning"]
Key = tuple[int, str, str]
"""Version (0: of the whole model), kind, subject."""

KINDS: Mapping[str, Severity] = {
    "traffic": "critical",
    "errors": "critical",
    "latency": "warning",
    "rare answer": "warning",
    "same input": "warning",
    "missing values": "critical",
    "unseen values": "warning",
    DRIFT: "warning",
    "quality": "critical",
    "part quality": "warning",
    "calibration": "warning",
    "estimated quality": "warning",
    "missing labels": "warning",
    "label drift": "warning",
    NEW_COMBINATIONS: "warning",
    retraining.KIND: "critical",
    "overdue": "warning",
    "fast burn": "critical",
    "slow burn": "warning",
    "budget spent": "critical",
    "failed training": "warning",
    "rejected version": "warning",
    "rolled back": "warning",
    "degraded champion": "critical",
    "deferred retirement": "warning",
    "dead letters": "warning",
    "restarts": "warning",
}
# What is so at a moment (see conditions), and not of a window: it ends as soon as it is so no more.
BY_STATE = frozenset(list(KINDS)[list(KINDS).index("overdue") :])
# What a rule of its own says, and takes back.
BY_RULE = frozenset({retraining.KIND})
EVERY_MODEL = "*"
"""Whose alerts are those of no model alone."""
PLAYBOOK = "docs/playbook.md"


@dataclass(frozen=True)
class Rule:
    """A model's rule: how severe each kind is ("none": no alert), the windows without it that end an alert, and the
    factor by which its figure must change to be told again.
    """

    severity: Mapping[str, str]
    end_after: int = 2
    update_factor: float = 1.5


@dataclass(frozen=True)
class Open:
    """An alert that goes on. ``told``: the figure that was told last; ``quiet``: windows without it since."""

    told: float | None
    quiet: int = 0


@dataclass(frozen=True)
class Change:
    """What becomes of an alert. ``seen``: nothing that is to be told, but how many quiet windows there are by now."""

    what: Literal["raised", "updated", "ended", "seen"]
    quiet: int = 0


def severity_of(kind: str, rule: Rule) -> Severity | None:
    """How severe a kind of alert is; None where there is to be none."""
    said = rule.severity.get(kind.replace(" ", "_"), KINDS.get(kind, "warning"))
    return "critical" if said == "critical" else "warning" if said == "warning" else None


def change(before: Open | None, now: Finding, rule: Rule) -> Change | None:
    """What a window's finding does to the alert of its key; None: nothing."""
    if severity_of(now.kind, rule) is None:
        return Change("ended") if before is not None else None
    if before is None:
        return Change("raised") if now.alarm else None
    if now.alarm:
        return Change("updated" if _much(before.told, now.figure, rule.update_factor) else "seen")
    quiet = before.quiet + 1
    return Change("ended" if quiet >= rule.end_after else "seen", quiet)


def page_of(kind: str) -> str:
    """Where the playbook says what to do."""
    return f"{PLAYBOOK}#{kind.replace(' ', '-')}"


def _much(told: float | None, now: float | None, factor: float) -> bool:
    if told is None or now is None:
        return told != now
    low, high = sorted((abs(told), abs(now)))
    return high > factor * low
