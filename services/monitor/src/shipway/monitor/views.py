"""How an event changes what is known of a version or of a request. Pure.

Topics are read side by side, so a version's training may be heard of after its release: what comes from
training and evaluation moves a version forward only. The releaser's events come in order, unless a broker lost
some and they were sent again: one that is older than what is known changes no state.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shipway.contract import events as e

RANK = {
    state: rank
    for rank, states in enumerate(
        (
            ("trained",),
            ("approved", "rejected"),
            ("loading",),
            ("shadow",),
            ("canary",),
            ("champion",),
            ("last_good", "standby", "rolled_back", "superseded"),
            ("retired",),
        )
    )
    for state in states
}
REQUEST_RANK = {s: i for i, s in enumerate(("requested", "accepted", "training", "failed", "trained", "searched"))}


@dataclass(frozen=True)
class VersionChange:
    """Columns of a version to set. ``forward_only``: the state only if it comes after the one there is."""

    version: int
    state: str | None = None
    forward_only: bool = False
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestChange:
    """Columns of a request to set, the state only forward (see request_may_become)."""

    request_id: str
    state: str
    columns: dict[str, Any] = field(default_factory=dict)


def version_change(event: e.Payload) -> VersionChange | None:
    """What the event says of the version that it is about, but for who is champion (see standing)."""
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
        case e.ReleaseProgressed() if event.to_state in ("loading", "shadow", "canary"):
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
        case e.CommandAnswered() if event.done and event.action == "restore" and event.version is not None:
            columns = {"reason": event.answer, "retirement_asked_at": None}
            return VersionChange(event.version, "standby", False, columns)
        case e.ModelRetired():
            return VersionChange(event.version, "retired", False, {"share": 0.0, "reason": event.reason})
        case _:
            return None


def may_become(now: str | None, since: datetime | None, change: VersionChange, at: datetime) -> bool:
    """Whether a change told at ``at`` counts for a version that is in state ``now`` since then.

    The champion is not retired: the releaser, which puts such a retirement off, knows who that is.
    """
    if change.state is None or (now == "champion" and change.state == "retired"):
        return False
    if now is None or since is None:
        return True
    if change.forward_only or RANK[now] < RANK["loading"]:
        return RANK[change.state] > RANK[now]
    return at >= since


def request_may_become(now: str, since: datetime, state: str, at: datetime) -> bool:
    """Whether what was told of a request at ``at`` counts, where it is in state ``now`` since then.

    A job that failed may be run again by a command; the trainer's events of a model come in order.
    """
    if now == "failed" and state in ("accepted", "training"):
        return at >= since
    return (REQUEST_RANK[state], at) >= (REQUEST_RANK[now], since)


def request_change(event: e.Payload) -> RequestChange | None:
    """What the event says of a training request."""
    match event:
        case e.TrainingRequested() | e.SearchRequested():
            return RequestChange(event.request_id, "requested", {"reason": event.reason})
        case e.TrainingAccepted():
            return RequestChange(event.request_id, "accepted")
        case e.TrainingProgressed():
            columns = {"stage": event.stage, "fraction": event.fraction, "message": event.message}
            return RequestChange(event.request_id, "training", columns)
        case e.TrainingCompleted():
            return RequestChange(event.request_id, "trained", {"version": event.version, "fraction": 1.0})
        case e.SearchCompleted():
            found = ", ".join(f"{one.request_id} ({event.metric} {one.figure:.5g})" for one in event.candidates)
            message = f"{event.trials} trials; to be trained: {found}"
            return RequestChange(event.request_id, "searched", {"message": message, "fraction": 1.0})
        case e.TrainingFailed():
            return RequestChange(event.request_id, "failed", {"stage": event.stage, "message": event.reason})
        case _:
            return None
