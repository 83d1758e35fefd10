"""How good answers were, by the labels of their predictions. Pure: sums that add up, and what they mean.

The loss of a labelled answer is 0 to 1, so that versions can be compared by tests that need a bound: the Brier score
(Brier 1950), halved where there are more than two classes; for regression the absolute error over the model's scale. Of
a ranking the answer is that to a query, whatever rows it has, and the loss is 1 - NDCG (see rankings).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shipway.contract.rowencoding import category_text
from shipway.contract.signature import Signature
from shipway.monitor.labelling import Value

BINS = 10
# Ages of a prediction by which the delays of labels are counted; the last place is for what comes later.
AGES = tuple(
    timedelta(seconds=s)
    for s in (60, 600, 3600, 21_600, 86_400, 172_800, 259_200, 604_800, 1_209_600, 2_592_000, 5_184_000)
)
LEAST_FOR_AN_INTERVAL = 30
_Z95 = 1.959963984540054
_LEAST_CHANCE = 1e-15
_EVER_WRONG = 0.05
_TUNED = 0.05


@dataclass(frozen=True)
class Judged:
    """One answer beside its label. ``chance``: of the label, for several classes or two; ``error``: of regression.

    ``stated`` is the probability that the answer stood for, and ``came`` whether it came so; both for calibration.
    ``rows``: the predictions that it is made of, all the rows of a query.
    """

    loss: float
    correct: bool = False
    chance: float = math.nan
    error: float = math.nan
    stated: float = math.nan
    came: bool = False
    rows: int = 1


@dataclass
class Quality:
    """Sums over labelled answers; of two sets of answers they add up to those of both, and can be taken off again.

    ``labelled`` are answers: of a ranking queries, not rows. ``delays`` counts predictions by how long after them their
    labels came (see AGES); ``stated``, ``came`` and ``binned`` are the sums of calibration, by ten equal parts of the
    stated probability.
    """

    labelled: int = 0
    loss_sum: float = 0.0
    loss_square_sum: float = 0.0
    correct: int = 0
    log_loss_sum: float = 0.0
    error_sum: float = 0.0
    error_square_sum: float = 0.0
    delays: list[int] = field(default_factory=lambda: [0] * (len(AGES) + 1))
    binned: list[int] = field(default_factory=lambda: [0] * BINS)
    stated: list[float] = field(default_factory=lambda: [0.0] * BINS)
    came: list[int] = field(default_factory=lambda: [0] * BINS)

    @property
    def rows(self) -> int:
        """How many predictions have their labels: of a ranking, those of queries whose rows all have one."""
        return sum(self.delays)

    def count(self, judged: Judged, delay: timedelta, times: int = 1) -> None:
        """Adds an answer that was judged; with ``times`` -1 takes it off."""
        self.labelled += times
        self.loss_sum += times * judged.loss
        self.loss_square_sum += times * judged.loss**2
        self.correct += times * judged.correct
        self.ripen(judged.rows, delay, times)
        if not math.isnan(judged.chance):
            self.log_loss_sum -= times * math.log(max(judged.chance, _LEAST_CHANCE))
        if not math.isnan(judged.error):
            self.error_sum += times * abs(judged.error)
            self.error_square_sum += times * judged.error**2
        if not math.isnan(judged.stated):
            place = min(int(judged.stated * BINS), BINS - 1)
            self.binned[place] += times
            self.stated[place] += times * judged.stated
            self.came[place] += times * judged.came

    def ripen(self, rows: int, delay: timedelta, times: int = 1) -> None:
        """Adds predictions whose labels have come, and nothing of how good they are."""
        self.delays[bisect_left(AGES, delay)] += times * rows

    def add(self, other: "Quality") -> None:
        """Adds another's sums."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            both = [a + b for a, b in zip(mine, value, strict=True)] if isinstance(value, list) else mine + value
            setattr(self, name, both)


class Judge:
    """Holds answers of one version against labels. ``scale``: the error of regression that is a loss of 1.

    ``ndcg_at``: of a ranking, so many of the best rows of each query count; None of other models. A ranking's rows are
    not judged one by one: how good a score is depends on those of the other rows of its query (see rankings).
    """

    def __init__(self, signature: Signature, scale: float = 1.0, ndcg_at: int | None = None) -> None:
        self.ndcg_at = ndcg_at
        self._output = signature.output
        self._outputs = signature.outputs_per_row
        self._scale = scale
        self._classes = {name: i for i, name in enumerate(signature.classes)}

    def judge(self, scores: Sequence[float], label: Value) -> Judged | None:
        """The answer beside its label; None where the label is none of the target's, or the scores are no answer's.

        Not to be asked of a ranking.
        """
        if len(scores) != self._outputs or not all(map(math.isfinite, scores)):
            return None
        if self._output == "regression":
            return self._distance(scores[0], label)
        index = self._classes.get(class_name(label) or "")
        if index is None:
            return None
        if self._output == "binary":
            p, came = min(max(scores[0], 0.0), 1.0), index == 1
            right = (p >= 0.5) == came
            return Judged((p - came) ** 2, right, p if came else 1 - p, stated=p, came=came)
        best = max(range(len(scores)), key=scores.__getitem__)
        loss = sum((p - (i == index)) ** 2 for i, p in enumerate(scores)) / 2
        stated = min(max(scores[best], 0.0), 1.0)
        return Judged(min(loss, 1.0), best == index, scores[index], stated=stated, came=best == index)

    def _distance(self, score: float, label: Value) -> Judged | None:
        if isinstance(label, bool | str) or not math.isfinite(label):
            return None
        error = score - label
        return Judged(min(abs(error) / self._scale, 1.0), error=error)


def class_name(label: Value) -> str | None:
    """A label as the name that its class has: JSON knows no whole numbers."""
    if isinstance(label, float) and not isinstance(label, bool):
        return category_text(int(label)) if label.is_integer() else None
    return category_text(label)


@dataclass(frozen=True)
class Estimate:
    """The mean loss, and where it lies with 95 % confidence (normal approximation; None with fewer than 30 answers)."""

    mean: float
    low: float | None
    high: float | None


def mean_loss(quality: Quality) -> Estimate | None:
    """The mean loss of labelled answers; None where there is no label."""
    n = quality.labelled
    if n <= 0:
        return None
    mean = quality.loss_sum / n
    if n < LEAST_FOR_AN_INTERVAL:
        return Estimate(mean, None, None)
    spread = _Z95 * math.sqrt(max(quality.loss_square_sum / n - mean**2, 0.0) / (n - 1))
    return Estimate(mean, max(mean - spread, 0.0), min(mean + spread, 1.0))


def watched_loss(quality: Quality) -> Estimate | None:
    """The mean loss, and where it lies with 95 % confidence at every look, however often one looks; so it is wider.

    An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit
    theory, 2024), narrowest at some hundred labels.
    """
    plain = mean_loss(quality)
    if plain is None or plain.low is None:
        return plain
    n, mean = quality.labelled, plain.mean
    variance = max(quality.loss_square_sum / n - mean**2, 0.0) * n / (n - 1)
    grown = n * _TUNED + 1
    spread = math.sqrt(variance * 2 * grown / (n * n * _TUNED) * math.log(math.sqrt(grown) / _EVER_WRONG))
    return Estimate(mean, max(mean - spread, 0.0), min(mean + spread, 1.0))


def figures(quality: Quality, output: str) -> dict[str, float]:
    """The metrics that are usual for the target's kind; ``calibration_error`` is the expected one (Naeini 2015)."""
    n = quality.labelled
    if n <= 0:
        return {}
    if output == "ranking":
        return {"ndcg": 1 - quality.loss_sum / n}
    if output == "regression":
        return {"mae": quality.error_sum / n, "rmse": math.sqrt(max(quality.error_square_sum / n, 0.0))}
    off = sum(abs(stated - came) for stated, came in zip(quality.stated, quality.came, strict=True))
    return {"accuracy": quality.correct / n, "log_loss": quality.log_loss_sum / n, "calibration_error": off / n}


@dataclass(frozen=True)
class Answered:
    """So many predictions up to ``until``, and after how long their labels came."""

    until: datetime
    answered: int
    delays: Sequence[int]


@dataclass(frozen=True)
class Maturity:
    """Of ``predictions`` that are older than ``age``, ``labelled`` had their label by that age."""

    age: timedelta
    predictions: int
    labelled: int

    @property
    def share(self) -> float:
        """The share of them."""
        return min(self.labelled / self.predictions, 1.0) if self.predictions else 0.0


def maturity(windows: Iterable[Answered], now: datetime) -> list[Maturity]:
    """How labels ripen: for each age, of predictions at least so old, how many had a label by then."""
    known = list(windows)
    found = []
    for place, age in enumerate(AGES):
        old = [w for w in known if w.until <= now - age]
        answered = sum(w.answered for w in old)
        if answered:
            found.append(Maturity(age, answered, sum(sum(w.delays[: place + 1]) for w in old)))
    return found
