"""Every event, as a value. Names are past tense; type names on the wire carry a version.

Readers ignore unknown fields and a type only ever gains optional ones: a change that breaks this is a
new type. Times are timezone-aware UTC. ``docs/schemas/`` holds the JSON Schemas made from here.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec

Name = str
MAX_BYTES = 1_000_000
"""What brokers take of one message unless they are told otherwise, and a little less."""
# The prediction log's type: Arrow batches, not events (see contract.predictionlog).
PREDICTION_BATCH = "shipway.PredictionBatch.v1"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What all events share. ``model`` is the Kafka key, so one model's events stay in order."""

    type: ClassVar[str]
    max_bytes: ClassVar[int] = MAX_BYTES
    model: Name


class ModelDeclared(Event, frozen=True, kw_only=True):
    """A model's file was accepted by the client; ``spec`` is its content (see contract.spec)."""

    type: ClassVar[str] = "shipway.ModelDeclared.v1"
    spec: dict[str, Any]
    declared_by: str


class TrainingRequested(Event, frozen=True, kw_only=True):
    """Train a version of ``model`` on the data before ``until`` (none: all the data there is)."""

    type: ClassVar[str] = "shipway.TrainingRequested.v1"
    request_id: str
    until: datetime | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


class SearchRequested(Event, frozen=True, kw_only=True):
    """Look for better parameters of ``model`` on the data before ``until`` (none: all the data there is).

    ``trials``, ``time_limit_s`` and ``candidates``: none where the model file's section [search] holds.
    """

    type: ClassVar[str] = "shipway.SearchRequested.v1"
    request_id: str
    until: datetime | None = None
    trials: int | None = None
    time_limit_s: float | None = None
    candidates: int | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


class FoundParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters that a search found, and their figure on validation; ``request_id`` is the training that they get."""

    request_id: str
    params: dict[str, Any]
    figure: float


class SearchCompleted(Event, frozen=True, kw_only=True):
    """A search is over: so many trials, ``pruned`` of them ended early, and what is trained of what it found.

    ``baseline`` is the figure of the model file's own parameters, by ``metric``, on the same rows.
    """

    type: ClassVar[str] = "shipway.SearchCompleted.v1"
    request_id: str
    trials: int
    pruned: int
    metric: str
    baseline: float | None
    candidates: list[FoundParameters]
    duration_s: float


class TrainingAccepted(Event, frozen=True, kw_only=True):
    """The request is recorded in the trainer's database: it will not be lost any more."""

    type: ClassVar[str] = "shipway.TrainingAccepted.v1"
    request_id: str


class TrainingProgressed(Event, frozen=True, kw_only=True):
    """Where a training is. ``fraction`` is 0 to 1 of the whole job.

    ``outcome`` is empty while the stage runs; then "done", or "reused" where its inputs are those of an earlier run,
    whose output was taken; "late" where it runs for longer than its service level. ``seconds``: how long it ran.
    """

    type: ClassVar[str] = "shipway.TrainingProgressed.v1"
    request_id: str
    stage: str
    fraction: float
    message: str = ""
    outcome: str = ""
    seconds: float | None = None
    attempt: int = 1


class TrainingCompleted(Event, frozen=True, kw_only=True):
    """A version exists: its bundle is whole in the object store under ``digest``.

    ``origin`` is what made it: a ``training``, a parameter ``search``, or an ``import`` from elsewhere.
    ``data_source``: folder, objects or history.
    """

    type: ClassVar[str] = "shipway.TrainingCompleted.v1"
    request_id: str
    version: int
    digest: str
    bundle_bytes: int
    training_rows: int
    set_aside_rows: dict[str, int]
    train_from: datetime
    train_to: datetime
    holdout_from: datetime
    holdout_to: datetime
    metrics: dict[str, float]
    duration_s: float
    origin: str = "training"
    data_source: str = ""


class TrainingFailed(Event, frozen=True, kw_only=True):
    """A request ended without a version, and why."""

    type: ClassVar[str] = "shipway.TrainingFailed.v1"
    request_id: str
    stage: str
    reason: str
    attempts: int


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a version: the figure, the limit that it was held against, and the outcome in words."""

    name: str
    passed: bool
    figure: float | None
    limit: float | None
    reason: str


class ModelApproved(Event, frozen=True, kw_only=True):
    """Every gate passed. Carries what the releaser needs, so that it reads nobody else's tables.

    ``hold`` says why the version waits for a person's approval; empty: it is released by itself.
    """

    type: ClassVar[str] = "shipway.ModelApproved.v1"
    version: int
    digest: str
    request_id: str
    gates: list[Gate]
    metrics: dict[str, float]
    champion_version: int | None
    champion_metrics: dict[str, float]
    signature: dict[str, Any]
    release: dict[str, Any]
    prediction_log: dict[str, Any]
    hold: str = ""
    retirement: dict[str, Any] = {}


class ModelRejected(Event, frozen=True, kw_only=True):
    """At least one gate failed; ``reason`` names it."""

    type: ClassVar[str] = "shipway.ModelRejected.v1"
    version: int
    digest: str
    request_id: str
    gates: list[Gate]
    metrics: dict[str, float]
    champion_version: int | None
    champion_metrics: dict[str, float]
    reason: str


class ReleaseProgressed(Event, frozen=True, kw_only=True):
    """A release went from one state to another: by which rule or person (``by``), and on which ``figures``."""

    type: ClassVar[str] = "shipway.ReleaseProgressed.v1"
    version: int
    release_id: str
    from_state: str
    to_state: str
    candidate_share: float
    generation: int
    reason: str
    by: str = ""
    figures: dict[str, float] = {}


class ModelReleased(Event, frozen=True, kw_only=True):
    """Enough instances hold the version, checked, and it answers its first share of traffic."""

    type: ClassVar[str] = "shipway.ModelReleased.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    instances: list[str]
    candidate_share: float


class ReleasePromoted(Event, frozen=True, kw_only=True):
    """The version is the champion; ``previous_version`` stays loaded as the last good one."""

    type: ClassVar[str] = "shipway.ReleasePromoted.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    previous_version: int | None
    reason: str


class ReleaseRolledBack(Event, frozen=True, kw_only=True):
    """The version takes no traffic any more; ``champion_version`` answers."""

    type: ClassVar[str] = "shipway.ReleaseRolledBack.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    champion_version: int | None
    champion_digest: str | None
    reason: str


class ReleaseSuperseded(Event, frozen=True, kw_only=True):
    """A waiting release was passed over for a newer approved version."""

    type: ClassVar[str] = "shipway.ReleaseSuperseded.v1"
    version: int
    release_id: str
    by_version: int


class ModelDegraded(Event, frozen=True, kw_only=True):
    """A serving version broke its service level: replaced first, retired after."""

    type: ClassVar[str] = "shipway.ModelDegraded.v1"
    version: int
    figure: str
    value: float
    limit: float
    reason: str


class ModelRetired(Event, frozen=True, kw_only=True):
    """The version is to be served no more, by rule ``policy``."""

    type: ClassVar[str] = "shipway.ModelRetired.v1"
    version: int
    policy: str
    reason: str


class BundleRemoved(Event, frozen=True, kw_only=True):
    """A retired version's bundle is in the object store no more: it can't be restored."""

    type: ClassVar[str] = "shipway.BundleRemoved.v1"
    version: int
    digest: str
    reason: str


class RetirementDeferred(Event, frozen=True, kw_only=True):
    """A retirement waits, because the version is still needed."""

    type: ClassVar[str] = "shipway.RetirementDeferred.v1"
    version: int
    reason: str


class TrainingCancelRequested(Event, frozen=True, kw_only=True):
    """An operator's command: end this training."""

    type: ClassVar[str] = "shipway.TrainingCancelRequested.v1"
    request_id: str
    requested_by: str = "unknown"


class ModelImportRequested(Event, frozen=True, kw_only=True):
    """An operator's command: make a version of a LightGBM model that was trained elsewhere.

    ``files`` are in the object store under ``imports/<sha256>``; here is the SHA-256 of each: "model.txt" and
    "signature.json", and where there are golden rows "golden.parquet". ``until`` as of TrainingRequested: the version
    is judged on the holdout before it.
    """

    type: ClassVar[str] = "shipway.ModelImportRequested.v1"
    request_id: str
    files: dict[str, str]
    until: datetime | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


class TrainingRetryRequested(Event, frozen=True, kw_only=True):
    """An operator's command: run a failed or cancelled job again, from the stage that failed, or from ``stage``."""

    type: ClassVar[str] = "shipway.TrainingRetryRequested.v1"
    request_id: str
    requested_by: str = "unknown"
    stage: str = ""


class SubjectForgetRequested(Event, frozen=True, kw_only=True):
    """An operator's command: remove the records of a subject, whose predictions have its name as their ``client_id``,
    or before a slash in it.
    """

    type: ClassVar[str] = "shipway.SubjectForgetRequested.v1"
    command_id: str
    subject: str
    reason: str = ""
    requested_by: str = "unknown"


class SubjectForgotten(Event, frozen=True, kw_only=True):
    """The records of a subject are gone: so many predictions of ``first_at`` to ``last_at``, and so many labels.

    ``versions`` were trained or judged on the history of that time, and stay. The subject is not named again.
    """

    type: ClassVar[str] = "shipway.SubjectForgotten.v1"
    command_id: str
    records: int
    labels: int
    versions: list[int]
    first_at: datetime | None = None
    last_at: datetime | None = None
    reason: str = ""
    requested_by: str = "unknown"


OperatorAction = Literal[
    "approve",
    "promote",
    "roll_back",
    "hold",
    "resume",
    "freeze",
    "unfreeze",
    "pin",
    "unpin",
    "retire",
    "restore",
]


class OperatorCommand(Event, frozen=True, kw_only=True):
    """A person's command over a model's releases. ``version``: none where the command says which by itself."""

    type: ClassVar[str] = "shipway.OperatorCommand.v1"
    command_id: str
    action: OperatorAction
    version: int | None = None
    reason: str = ""
    requested_by: str = "unknown"


class CommandAnswered(Event, frozen=True, kw_only=True):
    """What became of an operator's command: ``done``, or refused; ``answer`` says what was done, or why not."""

    type: ClassVar[str] = "shipway.CommandAnswered.v1"
    command_id: str
    action: str
    version: int | None
    done: bool
    answer: str
    reason: str = ""
    requested_by: str = "unknown"


class FeedbackReceived(Event, frozen=True, kw_only=True):
    """The true label of a prediction, as the client learnt it."""

    type: ClassVar[str] = "shipway.FeedbackReceived.v1"
    prediction_id: str
    label: str | float | bool
    observed_at: datetime


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction's true label, and when that became known."""

    prediction_id: str
    label: str | float | bool
    observed_at: datetime


class LabelsReceived(Event, frozen=True, kw_only=True):
    """The true labels of many predictions; says what as many FeedbackReceived would."""

    type: ClassVar[str] = "shipway.LabelsReceived.v1"
    labels: list[Label]


class QualityMeasured(Event, frozen=True, kw_only=True):
    """How good a version's answers were, by the labels known so far. All counts and sums are since its first answer.

    ``labelled`` of its ``predictions`` answered have a label. The loss of each is 0 to 1: the Brier score of a binary
    target, (p - y)**2, or half of it for several classes; for regression the absolute error over the model's scale,
    at most 1. The labelled ones were predicted within ``window_from`` to ``window_to``.
    """

    type: ClassVar[str] = "shipway.QualityMeasured.v1"
    version: int
    labelled: int
    loss_sum: float
    loss_square_sum: float
    predictions: int
    window_from: datetime
    window_to: datetime
    measured_at: datetime


class AlertChanged(Event, frozen=True, kw_only=True):
    """Something unusual of a model, or of a ``version`` of it, has begun, has changed much, or is over.

    ``kind`` and ``subject`` say what: such as drift of a feature. ``page``: where the playbook says what to do.
    """

    type: ClassVar[str] = "shipway.AlertChanged.v1"
    version: int | None
    alert_id: str
    kind: str
    subject: str
    state: Literal["raised", "updated", "ended"]
    severity: Literal["critical", "warning"]
    figure: float | None
    limit: float | None
    reason: str
    page: str
    raised_at: datetime
    changed_at: datetime


class BudgetChanged(Event, frozen=True, kw_only=True):
    """The error budget of a model's service ``level`` (availability, latency) is spent, or there is some again.

    ``left``: the share of it that is left, 0 to 1, less than 0 where more was spent than there is. ``hold_releases``:
    the model file wants no release to go on meanwhile.
    """

    type: ClassVar[str] = "shipway.BudgetChanged.v1"
    level: str
    state: Literal["spent", "back"]
    left: float
    hold_releases: bool
    reason: str
    changed_at: datetime


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """A version's share of a model's requests, 0 to 1."""

    version: int
    share: float


class HeldVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that instances must hold, with all that serving it needs."""

    version: int
    digest: str
    role: Literal["champion", "candidate", "last_good", "standby"]
    signature: dict[str, Any]
    prediction_log: dict[str, Any] = {}


class DesiredState(Event, frozen=True, kw_only=True):
    """What instances must hold of a model and how its traffic splits. ``generation`` only ever grows.

    ``shadow``: the version that gets a copy of that share of what the champion answers, which goes to nobody.
    ``sticky``: header:NAME or feature:NAME, where requests in which that is the same go to the same version.
    """

    type: ClassVar[str] = "shipway.DesiredState.v1"
    max_bytes: ClassVar[int] = 8 * MAX_BYTES  # a signature for every version that is held
    generation: int
    versions: list[HeldVersion]
    traffic: list[Traffic]
    shadow: Traffic | None = None
    sticky: str = ""


class LoadedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says of one version; the counts are since it was loaded.

    ``latency``: how many answers to one row took how long, by the buckets of contract.latency. ``compared`` of the rows
    answered were a shadow's, held against the champion's scores: ``distance_sum`` is the sum of distances, each 0 to 1.
    """

    model: Name
    version: int
    digest: str
    state: Literal["loading", "ready", "failed"]
    reason: str = ""
    answered: int = 0
    errors: int = 0
    latency: list[int] = []
    compared: int = 0
    distance_sum: float = 0.0


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says it is and holds. Key: ``instance``; a null value says goodbye.

    ``url`` is its HTTP, ``rows`` the host:port of its rows protocol (contract.rows).
    ``answered``, ``logged`` and ``dropped`` count predictions since its start; the log has or lacks them for good.
    ``inherited`` are those that its predecessors answered and left to it: logged and dropped are of both.
    """

    type: ClassVar[str] = "shipway.Presence.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    instance: str
    url: str
    started_at: datetime
    library_versions: dict[str, str]
    generations: dict[Name, int]
    versions: list[LoadedVersion]
    rows: str = ""
    answered: int = 0
    logged: int = 0
    dropped: int = 0
    inherited: int = 0


class PredictionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A request to several models that is answered later: first that it is under way, then its end. Key: ``result_id``.

    ``answer`` is what a request that waits is answered, ``problem`` the document that it is refused with. One that is
    still pending at ``due_at`` was lost with the gateway that took it.
    """

    type: ClassVar[str] = "shipway.PredictionResult.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    result_id: str
    state: Literal["pending", "answered", "failed"]
    models: list[Name]
    gateway: str
    requested_at: datetime
    due_at: datetime
    answer: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None


class DeadLettered(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a consumer refused: where it came from, why, and the message itself, unchanged."""

    type: ClassVar[str] = "shipway.DeadLettered.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    service: str
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


Payload = Event | Presence | PredictionResult | DeadLettered

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
        ModelApproved,
        ModelRejected,
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
        PredictionResult,
        DeadLettered,
    )
}
