"""What is wrong with a model, or with all of it, at a moment: findings of service levels and of events. Pure.

Level-triggered: each says how things are now, so an alert of it goes on for as long as it is so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shipway.contract.spec import format_duration
from shipway.monitor.budgets import Budget, Burn, Pace
from shipway.monitor.judgement import WHOLE_MODEL, Finding
from shipway.monitor.levels import Level
from shipway.monitor.phases import Overdue, Phase

RESTARTS_WITHIN = timedelta(hours=1)
MOST_RESTARTS = 3
LETTERS_WITHIN = timedelta(hours=1)
# One that can go back to the last good version does so within seconds.
STAYS = timedelta(minutes=1)
_OF_REQUESTS = ("accepted", "trained", "serving")


@dataclass(frozen=True)
class Newest:
    """A model's newest end of a training, and its newest version that was judged."""

    request_id: str | None = None
    request_state: str | None = None
    request_reason: str | None = None
    version: int | None = None
    version_state: str | None = None
    version_reason: str | None = None


@dataclass(frozen=True)
class Degraded:
    """A champion that broke its service level. ``asked``: why a training was asked for in its place, where one was."""

    version: int
    since: datetime
    last_good: int | None = None
    asked: str | None = None


def alarm(
    kind: str, subject: str, reason: str, figure: float | None = None, limit: float | None = None, version: int = 0
) -> Finding:
    """Something that is wrong now."""
    return Finding(version, kind, subject, "alarm", True, figure, limit, None, reason)


def over(version: int, kind: str, subject: str) -> Finding:
    """Something that was wrong, and is so no more."""
    return Finding(version, kind, subject, "ok", False, None, None, None, "it is over")


def late(found: Sequence[Overdue], targets: Mapping[Phase, timedelta], now: datetime) -> list[Finding]:
    """What takes longer than it may."""
    said = []
    for one in found:
        took_s, target = (now - one.begun_at).total_seconds(), targets[one.phase]
        of_request = one.phase in _OF_REQUESTS
        named = f"request {one.subject}" if of_request else f"version {one.subject}"
        version = WHOLE_MODEL if of_request else int(one.subject)
        since = f"since {one.begun_at:%Y-%m-%d %H:%M:%S} UTC; {format_duration(target)} are allowed"
        if one.phase == "deferred":
            words = f"{named} is to go, but still needed, {since}"
            said.append(alarm("deferred retirement", "", words, took_s, target.total_seconds(), version))
        else:
            words = f"{named} is not {one.phase} {since}"
            subject = f"{one.phase} {one.subject}" if of_request else one.phase
            said.append(alarm("overdue", subject, words, took_s, target.total_seconds(), version))
    return said


def of_events(newest: Newest) -> list[Finding]:
    """What the newest training and the newest version came to; a newer one that ends well takes it back."""
    found = []
    if newest.request_state == "failed":
        words = f"request {newest.request_id}: {newest.request_reason or 'no reason was given'}"
        found.append(alarm("failed training", "", words))
    if newest.version is not None:
        words = newest.version_reason or "no reason was given"
        if newest.version_state == "rejected":
            found.append(alarm("rejected version", "", words, version=newest.version))
        if newest.version_state == "rolled_back":
            found.append(alarm("rolled back", "", words, version=newest.version))
    return found


def of_champion(champion: Degraded | None, now: datetime) -> list[Finding]:
    """A degraded champion that answers on, and why nothing has taken its place."""
    if champion is None or now - champion.since < STAYS:
        return []
    if champion.asked is not None:
        why = f"a training was asked for: {champion.asked}"
    elif champion.last_good is not None:
        why = f"the last good version, {champion.last_good}, is not ready on enough instances yet"
    else:
        why = "there is none to go back to, and the next has not taken its place yet"
    since = f"{champion.since:%Y-%m-%d %H:%M:%S} UTC"
    words = f"version {champion.version} is degraded since {since}, and still answers; {why}"
    return [alarm("degraded champion", "", words, version=champion.version)]


def of_budget(level: Level, budget: Budget, burns: Mapping[Pace, Burn | None], window: timedelta) -> list[Finding]:
    """What a level's error budget says: that nothing is left of it, or that it goes too fast."""
    found = []
    if budget.left <= 0 and budget.counts.total >= level.least and budget.counts.bad:
        found.append(alarm("budget spent", level.name, spent_words(level, budget, window), budget.left, 0.0))
    for pace, burn in burns.items():
        if burn is not None:
            words = (
                f"{level.name}: {burn.rate:.1f} times as fast as its budget lasts, over {format_duration(burn.window)}"
            )
            found.append(alarm(pace, level.name, words, burn.rate, burn.limit))
    return found


def spent_words(level: Level, budget: Budget, window: timedelta) -> str:
    """How much of a budget was spent, in words."""
    of = f"{budget.counts.bad:,} of {budget.counts.total:,} {level.of} were not {level.words}"
    return f"{of} in {format_duration(window)}; {budget.allowed:,.0f} may"


def of_letters(grown: Mapping[str, int]) -> list[Finding]:
    """Dead letters that came lately, by the service that refused the message."""
    lately = format_duration(LETTERS_WITHIN)
    return [
        alarm("dead letters", service, f"{service} refused {new} message{'s' * (new != 1)} in {lately}", new, 0)
        for service, new in sorted(grown.items())
        if new > 0
    ]


def of_starts(starts: Mapping[str, int]) -> list[Finding]:
    """Instances that start again and again."""
    lately = format_duration(RESTARTS_WITHIN)
    return [
        alarm("restarts", instance, f"{instance} started {times} times in {lately}", times, MOST_RESTARTS)
        for instance, times in sorted(starts.items())
        if times > MOST_RESTARTS
    ]
