"""What data must be like to be trained on: figures in, problems out, each with the field and the remedy. Pure.

Looked at before training, because a model of bad data passes for a good one until it serves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shipway.bundle.historysummary import HistorySummary
from shipway.bundle.ranking import MAX_QUERY_ROWS
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.spec import ModelSpec, format_duration

NO_TARGET = "no target"


@dataclass(frozen=True)
class Rows:
    """How many rows of the training window are left, and how many were set aside, by why."""

    left: int
    set_aside: Mapping[str, int]
    window: str


@dataclass(frozen=True)
class FeatureFigures:
    """A feature's share of missing values, and how well it predicts the target on its own (see measures.alone)."""

    name: str
    missing: float
    alone: float


@dataclass(frozen=True)
class Figures:
    """Of the rows to train on. ``shares``: of each class, by its name, empty for a regression, a ranking."""

    features: Sequence[FeatureFigures]
    shares: Mapping[str, float] = field(default_factory=dict)
    constant_target: bool = False


@dataclass(frozen=True)
class QueryFigures:
    """Of the queries of a ranking: how many there are, in how many rows differ in relevance, how long the longest is.

    ``of_one_row``: how many have no other row; ``uneven``: columns of gates.slices that differ within a query.
    """

    queries: int
    telling: int
    of_one_row: int
    longest: int
    uneven: Sequence[str] = ()


class UnfitData(Permanent):
    """Data that is not to be trained on, with every problem found."""

    def __init__(self, problems: Sequence[InvalidField]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems[:20]))
        self.problems = list(problems)


def problems_of_rows(spec: ModelSpec, rows: Rows) -> list[InvalidField]:
    """What is wrong with how many rows there are."""
    aside = sum(rows.set_aside.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in rows.set_aside.items() if count)
    found = []
    if rows.left < spec.training.min_rows:
        found.append(
            InvalidField(
                "training.min_rows",
                f"the training window, {rows.window}, holds {rows.left:,} rows to train on ({why or 'none'} set aside),"
                f" fewer than {spec.training.min_rows:,}; lengthen data.train, mend the data or lower the limit",
            )
        )
    if aside > spec.checks.max_set_aside * (aside + rows.left):
        share = f"{aside:,} of {aside + rows.left:,} rows"
        found.append(
            InvalidField(
                "checks.max_set_aside",
                f"{share} of the training window, {rows.window}, are set aside ({why}), more than"
                f" {spec.checks.max_set_aside:g} of them; mend the data or raise the limit",
            )
        )
    return found


def problems_of_queries(spec: ModelSpec, found: QueryFigures) -> list[InvalidField]:
    """What is wrong with how rows are put into queries."""
    name, problems = spec.data.query_column, []
    if not found.telling:
        problems.append(
            InvalidField(
                "target.column",
                f"{spec.target.column!r} is the same in all rows of each of the {found.queries:,} queries by {name!r}"
                f" ({found.of_one_row:,} of them have one row), so there is no order to learn; mend the relevances, or"
                " name another data.query_column",
            )
        )
    if found.longest > MAX_QUERY_ROWS:
        problems.append(
            InvalidField(
                "data.query_column",
                f"{name!r} has the same value in {found.longest:,} rows, and LightGBM ranks {MAX_QUERY_ROWS:,} at most;"
                " name a column that tells one search or page from another, or leave rows out with clean.python",
            )
        )
    problems += [
        InvalidField(
            "gates.slices",
            f"{column!r} differs within a query, and a slice of a ranking is of whole queries; name columns that are"
            f" the same in all rows of one {name!r}",
        )
        for column in found.uneven
    ]
    return problems


def problems_of_history(spec: ModelSpec, rows: int, lived: HistorySummary, window: str) -> list[InvalidField]:
    """Whether enough of the predictions have a label by now; ``rows`` are those of ``data.base`` too."""
    if rows >= spec.training.min_rows:
        return []
    why = "".join(f", {count:,} {reason}" for reason, count in lived.left_out.items())
    return [
        InvalidField(
            "training.min_rows",
            f"the history holds {lived.labelled:,} labels for {lived.predictions:,} predictions that are older than"
            f" labels.mature_after ({format_duration(spec.labels.mature_after)}) in the training window, {window}{why}:"
            f" {rows:,} rows to train on, fewer than {spec.training.min_rows:,}; wait for labels (shipway quality"
            f" {spec.name}), lengthen data.train, give a data.base, or lower the limit",
        )
    ]


def problems_of_figures(spec: ModelSpec, figures: Figures) -> list[InvalidField]:
    """What is wrong with the features and the target of the rows to train on."""
    limits, found = spec.checks, []
    for feature in figures.features:
        if feature.alone > limits.max_alone:
            found.append(
                InvalidField(
                    f"features.{feature.name}",
                    f"predicts {spec.target.column!r} all by itself ({feature.alone:.4f} of 1, more than"
                    f" checks.max_alone, {limits.max_alone:g}), as a feature does that is only known after the fact;"
                    " remove it, or raise the limit if it is known before",
                )
            )
        if feature.missing > limits.max_missing:
            found.append(
                InvalidField(
                    f"features.{feature.name}",
                    f"is missing in {feature.missing:.2%} of the rows, more than checks.max_missing,"
                    f" {limits.max_missing:g}; mend the data, remove the feature or raise the limit",
                )
            )
    for name, share in figures.shares.items():
        if share < limits.min_label_share:
            found.append(
                InvalidField(
                    "target.column",
                    f"{name!r} is the label of {share:.4%} of the rows, less than checks.min_label_share,"
                    f" {limits.min_label_share:g}; lengthen data.train, mend the labels or lower the limit",
                )
            )
    if figures.constant_target:
        found.append(
            InvalidField("target.column", f"{spec.target.column!r} is the same in all rows to train on; mend the data")
        )
    return found


def hold(problems: Sequence[InvalidField]) -> None:
    """Raises UnfitData where there are problems."""
    if problems:
        raise UnfitData(problems)
