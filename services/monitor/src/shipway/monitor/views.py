"""How an event changes what is known of a version or of a request. Pure.

Topics are read side by side, so a version's training may be heard of after its release: what comes from
training and evaluation moves a version forward only. The releaser's events come in order and always count.
"""

from dataclasses import dataclass, field
from typing import Any

from shipway.contract import events as e

RANK = {
    state: rank
    for rank, states in enumerate(
        (
            ("trained",),
            ("approved", "rejected"),
            ("loading",),
            ("canary",),
            ("champion",),
            ("last_good", "standby", "rolled_back", "superseded"),
            ("retired",),
        )
    )
    for state in states
}
REQUEST_RANK = {s: i for i, s in enumerate(("requested", "accepted", "training", "trained", "failed"))}


@dataclass(frozen=True)
class VersionChange:
    """Columns of a version to set. ``forward_only``: the state only if it comes after the one there is."""

    version: int
    state: str | None = None
    forward_only: bool = False
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestChange:
    """Columns of a training request to set, the state only forward."""

    request_id: str
    state: str
    columns: dict[str, Any] = field(default_factory=dict)


def version_change(event: e.Payload) -> VersionChange | None:
    """What the event says of the version that it is about, but for who is champion (see champion_change)."""
    match event:
        case e.TrainingCompleted():
            columns = {"digest": event.digest, "request_id": event.request_id, "training_rows": event.training_rows}
            return VersionChange(event.version, "trained", True, columns | {"training_metrics": event.metrics})
        case e.ModelApproved() | e.ModelRejected():
            columns = {
                "digest": event.digest,
                "request_id": event.request_id,
                "metrics": event.metrics,
                "gates": event.gates,
                "champion_version": event.champion_version,
                "champion_metrics": event.champion_metrics,
            }
            if isinstance(event, e.ModelRejected):
                return VersionChange(event.version, "rejected", True, columns | {"reason": event.reason})
            return VersionChange(event.version, "approved", True, columns)
        case e.ReleaseProgressed() if event.to_state in ("loading", "canary"):
            columns = {"share": event.candidate_share, "reason": event.reason}
            return VersionChange(event.version, event.to_state, False, columns)
        case e.ModelReleased():
            return VersionChange(event.version, None, False, {"digest": event.digest, "share": event.candidate_share})
        case e.ReleasePromoted():
            columns = {"digest": event.digest, "share": 1.0, "reason": event.reason}
            return VersionChange(event.version, "champion", False, columns)
        case e.ReleaseRolledBack():
            return VersionChange(event.version, "rolled_back", False, {"share": 0.0, "reason": event.reason})
        case e.ReleaseSuperseded():
            reason = f"version {event.by_version} is newer"
            return VersionChange(event.version, "superseded", False, {"share": 0.0, "reason": reason})
        case e.ModelRetired():
            return VersionChange(event.version, "retired", False, {"share": 0.0, "reason": event.reason})
        case _:
            return None


def may_become(now: str | None, new: str) -> bool:
    """Whether a forward-only change of state counts."""
    return now is None or RANK[new] > RANK[now]


@dataclass(frozen=True)
class Champion:
    """A model's champion and last good version."""

    champion: int | None
    last_good: int | None


def champion_change(event: e.Payload, now: Champion) -> tuple[Champion, dict[int, str]]:
    """Who is champion after the event, and the states of the versions that thereby change."""
    match event:
        case e.ReleasePromoted() if event.version != now.champion:
            states = {}
            if now.last_good is not None and now.last_good != event.previous_version:
                states[now.last_good] = "standby"
            if event.previous_version is not None:
                states[event.previous_version] = "last_good"
            return Champion(event.version, event.previous_version), states
        case e.ReleaseRolledBack() if event.version == now.champion and event.champion_version is not None:
            return Champion(event.champion_version, None), {event.champion_version: "champion"}
        case _:
            return now, {}


def request_change(event: e.Payload) -> RequestChange | None:
    """What the event says of a training request."""
    match event:
        case e.TrainingRequested():
            return RequestChange(event.request_id, "requested", {"reason": event.reason})
        case e.TrainingAccepted():
            return RequestChange(event.request_id, "accepted")
        case e.TrainingProgressed():
            columns = {"stage": event.stage, "fraction": event.fraction, "message": event.message}
            return RequestChange(event.request_id, "training", columns)
        case e.TrainingCompleted():
            return RequestChange(event.request_id, "trained", {"version": event.version, "fraction": 1.0})
        case e.TrainingFailed():
            return RequestChange(event.request_id, "failed", {"stage": event.stage, "message": event.reason})
        case _:
            return None
