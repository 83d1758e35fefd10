"""What a verdict is given on: plain values, measured elsewhere. What could not be measured is None, or left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec


@dataclass(frozen=True)
class Opened:
    """What a whole bundle says of itself."""

    spec: ModelSpec
    signature: Signature
    total_bytes: int
    train_to: datetime
    holdout_from: datetime


@dataclass(frozen=True)
class Difference:
    """By how much a version is better than another on the same rows, in the metric's unit; negative is worse.

    ``low`` and ``high`` are the ends of its interval, each as sure as the spec wants; None: too few rows for one.
    """

    figure: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Slice:
    """A part of the holdout. ``against`` is the champion's figure there, ``better_by`` the difference to it."""

    column: str
    value: str
    rows: int
    figure: float | None = None
    against: float | None = None
    better_by: Difference | None = None


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with neighbouring predictions: their mean prediction, and what was observed."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """The mean gap between prediction and observation over bins of equal size (ECE); see measuring.calibration."""

    error: float
    bins: list[CalibrationBin]


@dataclass(frozen=True)
class Overlap:
    """Shares of the holdout's labelled rows that training saw too, by content and by id.

    The ``usual`` ones are those of the newest training rows among the older ones: what the data repeats by nature.
    """

    training_rows: int
    content: float
    usual_content: float
    ids: float = 0.0
    usual_ids: float = 0.0


@dataclass(frozen=True)
class Stability:
    """The metric of quick trainings on resampled rows with other seeds; ``problem``: why there are fewer than asked."""

    figures: list[float]
    rows: int
    rounds: int
    problem: str | None = None


@dataclass(frozen=True)
class Latency:
    """One row's prediction, in milliseconds: the median and the 95th percentile of a calm round; and the loading."""

    p50_ms: float
    p95_ms: float
    load_ms: float


@dataclass(frozen=True)
class Measured:
    """Figures on the holdout; metrics by name, those that are not defined left out.

    ``constant`` is a prediction that knows only the training labels, ``beats_constant`` the difference to it.
    ``champion`` and ``against_champion`` (the candidate's) are on the rows that both can be judged on; ``champion`` is
    empty where there is none to compare with, and ``champion_problem`` says why if one exists. ``telling`` is how much
    of the target each feature alone tells, 0 to 1.

    Of a ranking ``queries`` is in how many queries rows differ in relevance, which is what the figures are of, and
    ``trained_on`` how many rows were left out, as training saw others of their query.
    """

    rows: int
    set_aside: int
    metrics: Mapping[str, float]
    constant: Mapping[str, float]
    beats_constant: Difference | None = None
    champion: Mapping[str, float] = field(default_factory=dict)
    against_champion: Mapping[str, float] = field(default_factory=dict)
    better_by: Difference | None = None
    champion_problem: str | None = None
    slices: list[Slice] = field(default_factory=list)
    calibration: Calibration | None = None
    overlap: Overlap | None = None
    telling: Mapping[str, float] = field(default_factory=dict)
    stability: Stability | None = None
    latency: Latency | None = None
    queries: int | None = None
    trained_on: int = 0


@dataclass(frozen=True)
class Champion:
    """The version in service; ``signature`` is None where its bundle can't be read."""

    version: int
    signature: Signature | None


@dataclass(frozen=True)
class Evidence:
    """All that a verdict is given on. A problem is None where there is none; later parts may be missing.

    ``origin``: what made the version, as TrainingCompleted tells. ``exhibits`` are for the report, not for any gate.
    """

    opened: Opened | None
    bundle_problem: str | None = None
    model_file_problem: str | None = None
    golden_problem: str | None = None
    measured: Measured | None = None
    measuring_problem: str | None = None
    champion: Champion | None = None
    origin: str = "training"
    exhibits: Mapping[str, Any] = field(default_factory=dict)
