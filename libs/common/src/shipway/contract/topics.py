"""The topology, as data: who says what on which topic, and who listens.

A test holds the services against this table, the drawing in ARCHITECTURE.md is made from it, and
`shipway provision` creates the topics by it.
"""

from dataclasses import dataclass
from typing import Literal

from shipway.contract import events as e

Service = Literal["trainer", "evaluator", "releaser", "predictor", "gateway", "monitor", "client"]
SERVICES: tuple[Service, ...] = ("trainer", "evaluator", "releaser", "predictor", "gateway", "monitor")


@dataclass(frozen=True)
class Topic:
    """A topic: its key, its writers and readers, and how long it keeps what it is told.

    ``consumers`` read in a group and commit after effect; ``tables`` read the whole (compacted) topic into
    memory, without a group; ``tails`` keep the newest of it, without a group. ``retention_h`` is None where compaction
    keeps the last value of every key.
    """

    name: str
    types: tuple[type[e.Payload], ...]
    key: str
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...]
    tables: tuple[Service, ...] = ()
    partitions: int = 3
    retention_h: int | None = 24 * 7
    tails: tuple[Service, ...] = ()

    @property
    def max_message_bytes(self) -> int:
        """The largest value that the topic must take."""
        return max((t.max_bytes for t in self.types), default=e.MAX_BYTES)


MODEL_DECLARATIONS = Topic(
    "shipway.model-declarations",
    (e.ModelDeclared,),
    "model",
    ("client", "trainer"),
    ("trainer", "monitor"),
    ("gateway",),
    retention_h=None,
)
TRAINING_REQUESTS = Topic(
    "shipway.training-requests",
    (e.TrainingRequested, e.SearchRequested),
    "model",
    ("client", "trainer", "releaser", "monitor"),
    ("trainer", "monitor"),
)
TRAINING_EVENTS = Topic(
    "shipway.training-events",
    (e.TrainingAccepted, e.TrainingProgressed, e.TrainingCompleted, e.TrainingFailed, e.SearchCompleted),
    "model",
    ("trainer",),
    ("evaluator", "monitor"),
)
EVALUATION_EVENTS = Topic(
    "shipway.evaluation-events",
    (e.ModelApproved, e.ModelRejected, e.ReplayCompleted, e.ReplayFailed),
    "model",
    ("evaluator",),
    ("releaser", "monitor"),
)
RELEASE_EVENTS = Topic(
    "shipway.release-events",
    (
        e.ReleaseProgressed,
        e.ModelReleased,
        e.ReleasePromoted,
        e.ReleaseRolledBack,
        e.ReleaseSuperseded,
        e.RetirementDeferred,
        e.BundleRemoved,
        e.CommandAnswered,
    ),
    "model",
    ("releaser",),
    ("evaluator", "monitor"),
)
RETIREMENT_EVENTS = Topic(
    "shipway.retirement-events",
    (e.ModelDegraded, e.ModelRetired),
    "model",
    ("monitor", "releaser"),
    ("releaser", "monitor"),
)
OPERATOR_COMMANDS = Topic(
    "shipway.operator-commands",
    (
        e.TrainingCancelRequested,
        e.TrainingRetryRequested,
        e.ModelImportRequested,
        e.OperatorCommand,
        e.SubjectForgetRequested,
        e.ReplayRequested,
    ),
    "model",
    ("client", "monitor"),
    ("trainer", "evaluator", "releaser", "monitor"),
)
DESIRED_STATE = Topic(
    "shipway.desired-state",
    (e.DesiredState,),
    "model",
    ("releaser",),
    (),
    ("predictor", "gateway"),
    partitions=1,
    retention_h=None,
)
PRESENCE = Topic(
    "shipway.presence",
    (e.Presence,),
    "instance",
    ("predictor",),
    (),
    ("releaser", "gateway", "monitor"),
    partitions=1,
    retention_h=None,
)
GATEWAY_PRESENCE = Topic(
    "shipway.gateway-presence",
    (e.GatewayPresence,),
    "gateway",
    ("gateway",),
    (),
    ("monitor",),
    partitions=1,
    retention_h=None,
)
PREDICTION_LOG = Topic("shipway.prediction-log", (), "instance", ("predictor", "gateway"), ("monitor",), retention_h=24)
FEEDBACK = Topic("shipway.feedback", (e.FeedbackReceived, e.LabelsReceived), "model", ("gateway",), ("monitor",))
MONITORING_EVENTS = Topic(
    "shipway.monitoring-events",
    (e.QualityMeasured, e.AlertChanged, e.BudgetChanged, e.SubjectForgotten),
    "model",
    ("monitor",),
    ("releaser",),
)
RESULTS = Topic(
    "shipway.results", (e.PredictionResult,), "result_id", ("gateway",), (), retention_h=1, tails=("gateway", "client")
)
FEATURES = Topic(
    "shipway.features", (e.FeaturesPublished,), "table/key", ("client",), (), ("gateway",), retention_h=None
)


def dead_letters(service: Service) -> Topic:
    """The topic of what ``service`` refused to consume; the monitor keeps it for people, and counts it."""
    name = f"shipway.dead-letters.{service}"
    return Topic(name, (e.DeadLettered,), "none", (service,), ("monitor",), partitions=1, tails=("monitor",))


SHARED_TOPICS: tuple[Topic, ...] = (
    MODEL_DECLARATIONS,
    TRAINING_REQUESTS,
    TRAINING_EVENTS,
    EVALUATION_EVENTS,
    RELEASE_EVENTS,
    RETIREMENT_EVENTS,
    OPERATOR_COMMANDS,
    DESIRED_STATE,
    PRESENCE,
    GATEWAY_PRESENCE,
    PREDICTION_LOG,
    FEEDBACK,
    RESULTS,
    FEATURES,
    MONITORING_EVENTS,
)
DEAD_LETTERS: dict[Service, Topic] = {s: dead_letters(s) for s in ("trainer", "evaluator", "releaser", "monitor")}
TOPICS: tuple[Topic, ...] = (*SHARED_TOPICS, *DEAD_LETTERS.values())

_BY_TYPE = {t.type: topic for topic in SHARED_TOPICS for t in topic.types}


def topic_of(payload: e.Payload) -> Topic:
    """The one topic that carries this type of event."""
    if isinstance(payload, e.DeadLettered):
        return dead_letters(payload.service)  # type: ignore[arg-type]
    return _BY_TYPE[payload.type]


def consumed_by(service: Service) -> tuple[Topic, ...]:
    """The topics that ``service`` reads in its consumer group."""
    return tuple(t for t in TOPICS if service in t.consumers)


def tables_of(service: Service) -> tuple[Topic, ...]:
    """The compacted topics that ``service`` reads whole."""
    return tuple(t for t in TOPICS if service in t.tables)


def produced_by(service: Service) -> tuple[Topic, ...]:
    """The topics that ``service`` writes."""
    return tuple(t for t in TOPICS if service in t.producers)
