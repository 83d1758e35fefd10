"""Every event, as a value. Names are past tense; type names on the wire carry a version.

Readers ignore unknown fields and a type only ever gains optional ones: a change that breaks this is a
new type. Times are timezone-aware UTC. ``docs/schemas/`` holds the JSON Schemas made from here.
"""

from shipway.contract.events.base import MAX_BYTES, Event, Name
from shipway.contract.events.command import (
    CommandAnswered,
    ModelImportRequested,
    OperatorAction,
    OperatorCommand,
    SubjectForgetRequested,
    SubjectForgotten,
    TrainingCancelRequested,
    TrainingRetryRequested,
)
from shipway.contract.events.deadletter import DeadLettered
from shipway.contract.events.features import FeaturesPublished
from shipway.contract.events.release import (
    BundleRemoved,
    ModelDegraded,
    ModelReleased,
    ModelRetired,
    ReleaseProgressed,
    ReleasePromoted,
    ReleaseRolledBack,
    ReleaseSuperseded,
    RetirementDeferred,
)
from shipway.contract.events.replay import (
    DecisionMove,
    ReplayCompleted,
    ReplayedDecisions,
    ReplayedLatency,
    ReplayedQuality,
    ReplayFailed,
    ReplayRequested,
    ScoreDifferences,
)
from shipway.contract.events.serving import (
    DesiredState,
    GatewayPresence,
    HeldVersion,
    LoadedVersion,
    PredictionResult,
    Presence,
    Traffic,
)
from shipway.contract.events.training import (
    FoundParameters,
    ModelDeclared,
    SearchCompleted,
    SearchRequested,
    TrainingAccepted,
    TrainingCompleted,
    TrainingFailed,
    TrainingProgressed,
    TrainingRequested,
    replacement_request,
)
from shipway.contract.events.verdict import Gate, ModelApproved, ModelRejected
from shipway.contract.events.watch import (
    AlertChanged,
    BudgetChanged,
    FeedbackReceived,
    Label,
    LabelsReceived,
    QualityMeasured,
)

# The prediction log's type: Arrow batches, not events (see contract.predictionlog).
PREDICTION_BATCH = "shipway.PredictionBatch.v1"

Payload = Event | Presence | GatewayPresence | PredictionResult | FeaturesPublished | DeadLettered

EVENT_TYPES: dict[str, type[Payload]] = {
    t.type: t
    for t in (
        ModelDeclared,
        TrainingRequested,
        SearchRequested,
        SearchCompleted,
        TrainingAccepted,
        TrainingProgressed,
        TrainingCompleted,
        TrainingFailed,
        TrainingCancelRequested,
        OperatorCommand,
        CommandAnswered,
        TrainingRetryRequested,
        ModelImportRequested,
        SubjectForgetRequested,
        SubjectForgotten,
        ReplayRequested,
        ModelApproved,
        ModelRejected,
        ReplayCompleted,
        ReplayFailed,
        ReleaseProgressed,
        ModelReleased,
        ReleasePromoted,
        ReleaseRolledBack,
        ReleaseSuperseded,
        ModelDegraded,
        ModelRetired,
        RetirementDeferred,
        BundleRemoved,
        FeedbackReceived,
        LabelsReceived,
        QualityMeasured,
        AlertChanged,
        BudgetChanged,
        DesiredState,
        Presence,
        GatewayPresence,
        PredictionResult,
        FeaturesPublished,
        DeadLettered,
    )
}

__all__ = [
    "EVENT_TYPES",
    "MAX_BYTES",
    "PREDICTION_BATCH",
    "AlertChanged",
    "BudgetChanged",
    "BundleRemoved",
    "CommandAnswered",
    "DeadLettered",
    "DecisionMove",
    "DesiredState",
    "Event",
    "FeaturesPublished",
    "FeedbackReceived",
    "FoundParameters",
    "Gate",
    "GatewayPresence",
    "HeldVersion",
    "Label",
    "LabelsReceived",
    "LoadedVersion",
    "ModelApproved",
    "ModelDeclared",
    "ModelDegraded",
    "ModelImportRequested",
    "ModelRejected",
    "ModelReleased",
    "ModelRetired",
    "Name",
    "OperatorAction",
    "OperatorCommand",
    "Payload",
    "PredictionResult",
    "Presence",
    "QualityMeasured",
    "ReleaseProgressed",
    "ReleasePromoted",
    "ReleaseRolledBack",
    "ReleaseSuperseded",
    "ReplayCompleted",
    "ReplayFailed",
    "ReplayRequested",
    "ReplayedDecisions",
    "ReplayedLatency",
    "ReplayedQuality",
    "RetirementDeferred",
    "ScoreDifferences",
    "SearchCompleted",
    "SearchRequested",
    "SubjectForgetRequested",
    "SubjectForgotten",
    "Traffic",
    "TrainingAccepted",
    "TrainingCancelRequested",
    "TrainingCompleted",
    "TrainingFailed",
    "TrainingProgressed",
    "TrainingRequested",
    "TrainingRetryRequested",
    "replacement_request",
]
