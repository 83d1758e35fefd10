"""What the instances' reports amount to: where a version is ready, and what it answered since a step began."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shipway.contract.events import Presence
from shipway.releaser.state import Count, Evidence, Instance, Loaded, Version

NAMED_AT_MOST = 5


def live_instances(
    reports: Iterable[tuple[Presence, datetime]], model: str, now: datetime, dead_after: timedelta
) -> list[Instance]:
    """The instances that were heard of lately, with what they say of ``model``; ordered by name."""
    live = []
    for presence, heard_at in reports:
        if now - heard_at < dead_after:
            loaded = {
                v.version: Loaded(v.digest, v.state, v.reason, v.answered, v.errors)
                for v in presence.versions
                if v.model == model
            }
            live.append(Instance(presence.instance, presence.started_at, loaded))
    return sorted(live, key=lambda instance: instance.name)


@dataclass(frozen=True)
class Readiness:
    """Where a version is ready, where it failed for good, and what all the others say, by instance."""

    ready: tuple[str, ...]
    failed: dict[str, str]
    waiting: dict[str, str]

    def possible(self) -> int:
        """How many of these instances may ever have it ready."""
        return len(self.ready) + len(self.waiting)

    def in_words(self) -> str:
        """What the instances that do not have it ready say; at most a few are named."""
        said = [f"{name}: {why}" for name, why in sorted((self.failed | self.waiting).items())]
        more = f"; and {len(said) - NAMED_AT_MOST} more" if len(said) > NAMED_AT_MOST else ""
        return "; ".join(said[:NAMED_AT_MOST]) + more if said else "no other instance is live"


def readiness(version: Version, instances: Sequence[Instance]) -> Readiness:
    """What the live instances say of a version. One of that number with another digest is not it."""
    ready: list[str] = []
    failed: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for instance in instances:
        loaded = instance.loaded.get(version.number)
        if loaded is None:
            waiting[instance.name] = "has not begun to load it"
        elif loaded.digest != version.digest:
            waiting[instance.name] = f"holds another artifact, {loaded.digest[:12]}"
        elif loaded.state == "ready":
            ready.append(instance.name)
        elif loaded.state == "failed":
            failed[instance.name] = f"failed: {loaded.reason or 'no reason given'}"
        else:
            waiting[instance.name] = f"loading{f' ({loaded.reason})' if loaded.reason else ''}"
    return Readiness(tuple(ready), failed, waiting)


def observed(evidence: Evidence, version: Version, instances: Sequence[Instance]) -> Evidence:
    """The evidence with what was answered since the last look.

    Counts begin again when an instance restarts or loads the version anew: a new start or a falling count
    means that all it reports now is new.
    """
    answered, errors, seen = evidence.answered, evidence.errors, dict(evidence.seen)
    for instance in instances:
        loaded = instance.loaded.get(version.number)
        if loaded is None or loaded.digest != version.digest:
            seen.pop(instance.name, None)
            continue
        last = seen.get(instance.name)
        if (
            last is None
            or last.started_at != instance.started_at
            or loaded.answered < last.answered
            or loaded.errors < last.errors
        ):
            last = Count(instance.started_at, 0, 0)
        answered += loaded.answered - last.answered
        errors += loaded.errors - last.errors
        seen[instance.name] = Count(instance.started_at, loaded.answered, loaded.errors)
    return Evidence(answered, errors, seen)
