"""What the instances' reports amount to: where a version is ready, and what it answered since a step began."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from shipway.contract.events import Presence
from shipway.contract.latency import BUCKETS
from shipway.releaser.counts import Arm, Count, Evidence, Instance, Loaded
from shipway.releaser.state import Model, Version

NAMED_AT_MOST = 5
ENOUGH_TO_CALL_SLOW = 100
A = TypeVar("A", bound=Arm)


def live_instances(
    reports: Iterable[tuple[Presence, datetime]], model: str, now: datetime, dead_after: timedelta
) -> list[Instance]:
    """The instances that were heard of lately, with what they say of ``model``; ordered by name."""
    live = []
    for presence, heard_at in reports:
        if now - heard_at < dead_after:
            loaded = {
                v.version: Loaded(
                    v.digest,
                    v.state,
                    v.reason,
                    v.answered,
                    v.errors,
                    tuple(v.latency[:BUCKETS]),
                    v.compared,
                    min(max(0.0, v.distance_sum), float(v.compared)),
                )
                for v in presence.versions
                if v.model == model
            }
            only = frozenset(presence.only) if presence.only is not None else None
            live.append(Instance(presence.instance, presence.started_at, loaded, only))
    return sorted(live, key=lambda instance: instance.name)


@dataclass(frozen=True)
class Readiness:
    """Where a version is ready, where it failed for good, and what the others that can hold it say, by instance.

    ``elsewhere``: how many instances can't hold it, as their image has other versions; nobody waits for them.
    """

    ready: tuple[str, ...]
    failed: dict[str, str]
    waiting: dict[str, str]
    elsewhere: int = 0

    def able(self) -> int:
        """How many instances can hold it."""
        return len(self.ready) + len(self.failed) + len(self.waiting)

    def enough(self, wanted: int) -> bool:
        """Whether it is ready on so many instances, or on all that can hold it where those are fewer; not on none."""
        return len(self.ready) >= max(1, min(wanted, self.able()))

    def out_of_reach(self, wanted: int) -> bool:
        """Whether it can't become ready on enough of these instances (see ``enough``)."""
        return self.possible() < max(1, min(wanted, self.able()))

    def possible(self) -> int:
        """How many of these instances may ever have it ready."""
        return len(self.ready) + len(self.waiting)

    def in_words(self) -> str:
        """What the instances that do not have it ready say; at most a few are named."""
        said = [f"{name}: {why}" for name, why in sorted((self.failed | self.waiting).items())]
        more = f"; and {len(said) - NAMED_AT_MOST} more" if len(said) > NAMED_AT_MOST else ""
        words = "; ".join(said[:NAMED_AT_MOST]) + more if said else "no other instance is live"
        return f"{words}; not counted: {self.elsewhere} of an image with other versions" if self.elsewhere else words


def readiness(version: Version, instances: Sequence[Instance]) -> Readiness:
    """What the live instances say of a version. One of that number with another digest is not it."""
    ready: list[str] = []
    failed: dict[str, str] = {}
    waiting: dict[str, str] = {}
    able = [instance for instance in instances if instance.can_hold(version.digest)]
    for instance in able:
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
    return Readiness(tuple(ready), failed, waiting, len(instances) - len(able))


def observed(before: A, version: Version, instances: Sequence[Instance]) -> A:
    """What a version has answered, with what came since the last look.

    Counts begin again when an instance restarts or loads the version anew: a new start or a falling count
    means that all it reports now is new.
    """
    answered, errors, seen, latency = before.answered, before.errors, dict(before.seen), before.latency
    compared, distance = before.compared, before.distance
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
        latency = _added(latency, loaded.latency, last.latency)
        compared += max(0, loaded.compared - last.compared)
        distance += max(0.0, loaded.distance - last.distance)
        seen[instance.name] = Count(
            instance.started_at, loaded.answered, loaded.errors, loaded.latency, loaded.compared, loaded.distance
        )
    counts: dict[str, Any] = {"answered": answered, "errors": errors, "compared": compared, "distance": distance}
    return replace(before, seen=seen, latency=latency, **counts)


def compared(evidence: Evidence, model: Model, version: Version, instances: Sequence[Instance]) -> Evidence:
    """The candidate's evidence and the champion's beside it; a champion that is another by now begins anew."""
    champion, now = model.champion, observed(evidence, version, instances)
    if champion is None:
        return now
    if champion.number != evidence.against:
        return replace(now, compared=0, distance=0.0, **_against(champion, instances))
    return replace(now, champion=observed(evidence.champion, champion, instances))


def begun(evidence: Evidence, model: Model, version: Version, instances: Sequence[Instance], first: bool) -> Evidence:
    """The evidence of a step that begins: nothing yet, from here on. ``first``: the labels count from here on, too."""
    seen = observed(evidence, version, instances).seen
    fresh = Evidence(seen=seen, quality=version.quality if first else evidence.quality)
    champion = model.champion
    if champion is None:
        return fresh
    fresh = replace(fresh, **_against(champion, instances))
    same = not first and champion.number == evidence.against
    return replace(fresh, champion_quality=evidence.champion_quality) if same else fresh


def _against(champion: Version, instances: Sequence[Instance]) -> dict[str, Any]:
    """The champion's side from now on, and what is slow by all that it has answered until now."""
    until_now = observed(Arm(), champion, instances)
    return {
        "champion": Arm(seen=until_now.seen),
        "against": champion.number,
        "slow_from": slow_from(until_now.latency),
        "champion_quality": champion.quality,
    }


def slow_from(latency: Sequence[int]) -> int | None:
    """The first bucket above nine in ten of these answers; None where they are too few to say."""
    total, below = sum(latency), 0
    if total < ENOUGH_TO_CALL_SLOW:
        return None
    for place, count in enumerate(latency):
        below += count
        if below >= 0.9 * total:
            return place + 1
    raise AssertionError("all are at most nine in ten of all")


def _added(sums: tuple[int, ...], now: tuple[int, ...], last: tuple[int, ...]) -> tuple[int, ...]:
    """Bucket by bucket; a shorter histogram has nothing in the buckets that it lacks."""
    length = max(len(sums), len(now))

    def at(counts: tuple[int, ...], place: int) -> int:
        return counts[place] if place < len(counts) else 0

    return tuple(at(sums, i) + max(0, at(now, i) - at(last, i)) for i in range(length))
