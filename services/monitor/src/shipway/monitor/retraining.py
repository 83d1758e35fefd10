"""Whether what was found asks for a training, and why not yet. Pure.

An alert of the champion is an episode, and each attempt to end it is a training under an id made of both: to decide
twice is to ask once. Nothing is asked for while a training or a release is under way, within the cool-down, beyond the
budget, or after so many attempts in a row that gave no champion: then somebody has to look, and there is an alert.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shipway.contract.spec import format_duration
from shipway.monitor.drift import SCORE
from shipway.monitor.judgement import DRIFT, WHOLE_MODEL, Finding

KIND = "retraining"
Outcome = Literal["open", "served", "failed"]


@dataclass(frozen=True)
class Rule:
    """A model's rule: the triggers that count, and how often at most."""

    on: frozenset[str]
    cool_down: timedelta
    budget: int
    budget_period: timedelta
    give_up_after: int


@dataclass(frozen=True)
class Cause:
    """An open alert. ``episode``: its id."""

    episode: str
    version: int
    kind: str
    subject: str
    reason: str
    since: datetime

    @property
    def trigger(self) -> str:
        """What the model file calls it."""
        return "score_drift" if (self.kind, self.subject) == (DRIFT, SCORE) else self.kind.replace(" ", "_")


@dataclass(frozen=True)
class Attempt:
    """A training that was asked for because of a ``version``'s alert, and what it came to."""

    episode: str
    version: int
    asked_at: datetime
    outcome: Outcome


@dataclass(frozen=True)
class Situation:
    """A model: its champion and since when, its open alerts, the attempts so far, what is under way ("": nothing)."""

    model: str
    champion: int | None
    since: datetime | None
    causes: Sequence[Cause]
    attempts: Sequence[Attempt]
    busy: str = ""


@dataclass(frozen=True)
class Ask:
    """A training is to be asked for."""

    request_id: str
    cause: Cause
    attempt: int
    reason: str


@dataclass(frozen=True)
class Wait:
    """None is asked for now, and why. ``given_up``: none will be, until somebody looks."""

    reason: str
    given_up: bool = False


def decide(rule: Rule, at: Situation, now: datetime) -> Ask | Wait | None:
    """What is to be done about a model now; None where nothing that counts is found."""
    causes = [c for c in at.causes if c.version == at.champion and c.trigger in rule.on]
    if at.champion is None or not causes:
        return None
    first = min(causes, key=lambda cause: (cause.since, cause.episode))
    mine = [attempt for attempt in at.attempts if attempt.version == at.champion]
    failed = _failed_in_a_row(mine)
    if failed >= rule.give_up_after:
        return Wait(f"{failed} trainings in a row gave no better champion than version {at.champion}", given_up=True)
    if at.busy or any(attempt.outcome == "open" for attempt in at.attempts):
        return Wait(at.busy or "a training that was asked for is under way")
    rested = max([a.asked_at for a in at.attempts] + ([at.since] if at.since is not None else []), default=None)
    if rested is not None and now < rested + rule.cool_down:
        return Wait(f"cools down until {rested + rule.cool_down:%Y-%m-%d %H:%M} UTC")
    spent = sum(a.asked_at > now - rule.budget_period for a in at.attempts)
    if spent >= rule.budget:
        return Wait(f"{spent} trainings in {format_duration(rule.budget_period)} are all of its budget")
    attempt = 1 + sum(a.episode == first.episode for a in at.attempts)
    return Ask(f"retrain-{at.model}-{first.episode}-{attempt}", first, attempt, _words(first, causes))


def finding(decision: Ask | Wait | None) -> Finding:
    """The alert that it was given up, or that it was not."""
    if isinstance(decision, Wait) and decision.given_up:
        return Finding(WHOLE_MODEL, KIND, "", "alarm", True, None, None, None, decision.reason)
    return Finding(WHOLE_MODEL, KIND, "", "ok", False, None, None, None, "not given up")


def _failed_in_a_row(attempts: Sequence[Attempt]) -> int:
    count = 0
    for attempt in sorted(attempts, key=lambda attempt: attempt.asked_at, reverse=True):
        if attempt.outcome == "served":
            break
        count += attempt.outcome == "failed"
    return count


def _words(first: Cause, causes: Sequence[Cause]) -> str:
    named = f"{first.kind} {first.subject}".strip()
    others = sorted({f"{c.kind} {c.subject}".strip() for c in causes} - {named})
    more = f"; also {', '.join(others[:10])}" if others else ""
    return f"{named} of version {first.version}: {first.reason}{more}"
