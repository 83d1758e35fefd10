"""Where a training request is on its way to being served, told by events alone. Pure."""

from dataclasses import dataclass, field, replace
from typing import Literal

from shipway.contract import events as e

State = Literal[
    "requested",
    "accepted",
    "training",
    "trained",
    "approved",
    "releasing",
    "serving",
    "searched",
    "failed",
    "rejected",
    "rolled back",
    "superseded",
]
ENDS: frozenset[State] = frozenset({"serving", "searched", "failed", "rejected", "rolled back", "superseded"})


@dataclass(frozen=True)
class Journey:
    """One request's way. ``fraction`` is the training's, 0 to 1; ``share`` the version's part of the traffic.

    ``hold``: why an approved version waits for a person; empty where it does not. ``candidates`` are what a search
    found; its ``metric`` is theirs, and ``baseline`` the figure of the model file's own parameters.
    """

    request_id: str
    model: str
    state: State = "requested"
    stage: str = ""
    fraction: float = 0.0
    message: str = ""
    version: int | None = None
    training_metrics: dict[str, float] = field(default_factory=dict)
    training_rows: int | None = None
    gates: tuple[e.Gate, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    champion_version: int | None = None
    champion_metrics: dict[str, float] = field(default_factory=dict)
    share: float = 0.0
    reason: str = ""
    hold: str = ""
    candidates: tuple[e.FoundParameters, ...] = ()
    metric: str = ""
    baseline: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, but for a job that failed and is run again by a command."""
        return self.state in ENDS

    @property
    def succeeded(self) -> bool:
        """Whether the version serves, or the search found parameters."""
        return self.state in ("serving", "searched")

    def after(self, event: e.Payload) -> "Journey":
        """The journey once ``event`` is known; itself where the event is not about it, or tells nothing new."""
        if getattr(event, "model", None) != self.model or (self.ended and self.state != "failed"):
            return self
        if getattr(event, "request_id", None) == self.request_id:
            return self._after_request_event(event)
        if self.version is not None and getattr(event, "version", None) == self.version:
            return self._after_release_event(event)
        return self

    def _after_request_event(self, event: e.Payload) -> "Journey":
        match event:
            case e.TrainingAccepted() if self.state in ("requested", "failed"):
                return replace(self, state="accepted", reason="")
            case e.TrainingProgressed() if self.state in ("requested", "accepted", "training", "failed"):
                under_way = replace(self, state="training", reason="")
                return replace(under_way, stage=event.stage, fraction=event.fraction, message=event.message)
            case e.SearchCompleted():
                found = replace(self, candidates=tuple(event.candidates), metric=event.metric, baseline=event.baseline)
                return replace(found, state="searched", fraction=1.0)
            case e.TrainingCompleted() if self.version is None:
                return replace(
                    self,
                    state="trained",
                    fraction=1.0,
                    version=event.version,
                    training_metrics=event.metrics,
                    training_rows=event.training_rows,
                )
            case e.TrainingFailed():
                return replace(self, state="failed", stage=event.stage, reason=event.reason)
            case e.ModelApproved() | e.ModelRejected():
                judged = replace(
                    self,
                    version=event.version,
                    gates=tuple(event.gates),
                    metrics=event.metrics,
                    champion_version=event.champion_version,
                    champion_metrics=event.champion_metrics,
                )
                if isinstance(event, e.ModelRejected):
                    return replace(judged, state="rejected", reason=event.reason)
                return judged if self.state == "releasing" else replace(judged, state="approved", hold=event.hold)
            case _:
                return self

    def _after_release_event(self, event: e.Payload) -> "Journey":
        match event:
            case e.ReleaseProgressed() if event.to_state not in ("active", "rolled_back", "superseded"):
                return replace(
                    self, state="releasing", stage=event.to_state, share=event.candidate_share, reason=event.reason
                )
            case e.ModelReleased():
                return replace(
                    self, state="releasing", stage="released", share=event.candidate_share, reason="takes traffic"
                )
            case e.ReleasePromoted():
                return replace(self, state="serving", share=1.0, reason=event.reason)
            case e.ReleaseRolledBack():
                return replace(self, state="rolled back", share=0.0, reason=event.reason)
            case e.ReleaseSuperseded():
                return replace(self, state="superseded", reason=f"version {event.by_version} is newer")
            case _:
                return self
