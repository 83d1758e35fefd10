"""When a phase of a model's life begins and ends: from the training request to retirement, event by event. Pure.

Topics are read side by side, so the end of a phase may be heard of before its begin: each event leaves its mark, and
the earliest of a kind holds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shipway.contract import events as e

Phase = Literal["accepted", "trained", "judged", "released", "seen", "serving", "retired", "deferred"]
What = Literal["begun", "ended", "failed", "void", "never"]
_PASSED_OVER = ("cancelled by",)


@dataclass(frozen=True)
class Mark:
    """What an event says of a phase of ``subject``, a request's id or a version. ``void``: it does not count any more,
    as the rules had it end another way; ``never``: nor by anything else that is told. ``generation``: of the desired
    state that instances are to hear of.
    """

    phase: Phase
    subject: str
    what: What
    generation: int | None = None


@dataclass(frozen=True)
class Overdue:
    """A run of a phase that has not ended within its target. ``subject``: a request's id, or a version."""

    phase: Phase
    subject: str
    begun_at: datetime


def seen_by_all(
    model: str, generation: int, instances: Collection[Mapping[str, int]], gateways: Collection[Mapping[str, int]]
) -> bool:
    """Whether every live instance has heard of a generation of the model's desired state, and every live gateway sends
    to all that it gives a share. ``instances`` and ``gateways`` are what each says: by model, the newest generation.
    """
    return bool(instances) and all(said.get(model, 0) >= generation for said in (*instances, *gateways))


def marks(event: e.Payload) -> list[Mark]:
    """The marks that an event leaves.

    ``serving``, from request to champion, is ended by what is known of the version; ``seen`` and ``retired`` by what
    instances and gateways say of themselves.
    """
    match event:
        case e.TrainingRequested():
            return [Mark("accepted", event.request_id, "begun"), Mark("serving", event.request_id, "begun")]
        case e.SearchRequested():  # accepted like a training, but no training: nobody waits for its version
            return [Mark("accepted", event.request_id, "begun"), Mark("trained", event.request_id, "never")]
        case e.TrainingAccepted():
            return [Mark("accepted", event.request_id, "ended"), Mark("trained", event.request_id, "begun")]
        case e.TrainingCompleted():
            return [Mark("trained", event.request_id, "ended"), Mark("judged", str(event.version), "begun")]
        case e.TrainingFailed():
            what: What = "void" if event.reason.startswith(_PASSED_OVER) else "failed"
            return [Mark("trained", event.request_id, what), Mark("serving", event.request_id, "void")]
        case e.ModelApproved():
            judged = Mark("judged", str(event.version), "ended")
            if event.hold or event.release.get("approval") == "manual":  # a person's time is no service's
                return [judged, Mark("serving", event.request_id, "void")]
            return [judged, Mark("released", str(event.version), "begun")]
        case e.ModelRejected():
            return [Mark("judged", str(event.version), "ended"), Mark("serving", event.request_id, "void")]
        case e.ReleaseProgressed(to_state="loading"):
            return [Mark("released", str(event.version), "begun")]
        case e.ModelReleased():
            return [Mark("released", str(event.version), "ended")]
        case e.ReleasePromoted():
            return [Mark("seen", str(event.version), "begun", event.generation)]
        case e.ReleaseRolledBack():
            return [Mark("released", str(event.version), "void"), Mark("seen", str(event.version), "void")]
        case e.ReleaseSuperseded():
            return [Mark("released", str(event.version), "void")]
        case e.ModelRetired():
            return [Mark("retired", str(event.version), "begun"), Mark("released", str(event.version), "void")]
        case e.RetirementDeferred():
            return [Mark("retired", str(event.version), "void"), Mark("deferred", str(event.version), "begun")]
        case _:
            return []
