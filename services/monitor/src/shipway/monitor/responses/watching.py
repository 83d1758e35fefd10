"""What is known of predictions, as the read API shows it: quality by labels, and findings."""

from datetime import date, datetime

from pydantic import BaseModel


class Loss(BaseModel):
    """The mean loss, 0 to 1, and where it lies with 95 % confidence (null with fewer than 30 labels, or queries)."""

    mean: float
    low: float | None
    high: float | None


class Ripening(BaseModel):
    """Of ``predictions`` older than ``age_s``, ``labelled`` had their label by that age; of a ranking, their query all
    of its labels.
    """

    age_s: float
    predictions: int
    labelled: int
    share: float


class QualityOfDay(BaseModel):
    """Predictions of a UTC day, and how good those with a label were. ``coverage``: the share of them, 0 to 1.

    Of a ranking ``labelled`` are the rows of ``queries`` whose rows all have one, and a query has one loss.
    """

    day: date
    predictions: int
    labelled: int
    queries: int | None = None
    coverage: float | None
    loss: Loss | None
    metrics: dict[str, float]


class VersionQuality(BaseModel):
    """The same of a version's predictions together, how their labels ripened, and by day."""

    version: int
    predictions: int
    labelled: int
    queries: int | None = None
    coverage: float | None
    loss: Loss | None
    metrics: dict[str, float]
    maturity: list[Ripening]
    days: list[QualityOfDay]


class LabelCounts(BaseModel):
    """What became of a model's labels. ``waiting`` for their prediction; ``orphan``: it was not found in time;
    ``too_old``: it is older than labels are taken for; ``misfit``: none of the target's values;
    ``not_judged``: of a ranking's row whose client named no query. ``partial`` and ``alike`` are queries of a ranking:
    those of which some rows have no label, and those whose rows are all equally relevant.
    """

    received: int
    doubled: int
    conflicting: int
    late: int
    misfit: int
    misdirected: int
    orphan: int
    too_old: int
    not_judged: int
    partial: int
    alike: int
    waiting: int


class LabelFile(BaseModel):
    """The labels of a day's predictions in the object store, as labels/<model>/<day>.parquet."""

    day: date
    rows: int
    bytes: int
    written_at: datetime


class ModelQuality(BaseModel):
    """How good a model's versions are, by the labels of their predictions since then."""

    model: str
    since: datetime
    counts: LabelCounts
    versions: list[VersionQuality]
    files: list[LabelFile]


class PastState(BaseModel):
    """What a window before said."""

    at: datetime
    state: str
    figure: float | None


class Found(BaseModel):
    """The newest judgement of a kind (and of a subject: a feature, an answer). ``version`` 0: of the whole model.

    ``alarm``: it is unusual; for drift, in enough of the last windows. ``p``: of drift, by chance alone.
    """

    version: int
    kind: str
    subject: str
    begin: datetime
    end: datetime
    state: str
    alarm: bool
    figure: float | None
    limit: float | None
    p: float | None
    reason: str
    recent: list[PastState]


class ModelMonitoring(BaseModel):
    """What a model's windows say. ``watched_to``: up to where they are judged; ``late``: records that came after."""

    model: str
    watched_to: datetime | None
    late: int
    findings: list[Found]
