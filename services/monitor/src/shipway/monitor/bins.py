"""Into which parts a version's features, scores and answers are counted, learnt from its reference. Pure.

Every feature is counted into cells: one for a missing value, one for a category not known in training, the rest for
values. Numbers are cut at the reference's tenths, so that each cell has about as many of its rows; a number of few
different values has a cell for each. A category has a cell for each of the most frequent ones, the others share one.
Counts of the same cells add up, over batches, monitors and windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from shipway.contract.signature import OF_NUMBERS, Feature, Signature
from shipway.monitor.dayspread import Spread, spread_of
from shipway.monitor.slices import Cells, Slicing, make_slicings

Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
CELLS = 10
MOST_CATEGORIES = 30
MAX_FEATURES = 1000  # the first ones; so much is looked at of a version
MISSING, NOT_KNOWN, VALUES = 0, 1, 2
# Answers that are a number: below, within and above the middle 98 % of the reference's.
_OUTER = (0.01, 0.99)


@dataclass(frozen=True)
class Column:
    """How one column is counted. ``edges``: a number's cell is by how many of them it reaches; ``codes``: a category's
    cell is by its code. ``reference``: the counts of the reference's rows, cell by cell; ``spread``: how its days
    differ, where it has days.
    """

    name: str
    reference: Counts
    edges: Matrix
    codes: Counts | None = None
    spread: Spread | None = None


@dataclass(frozen=True)
class Bins:
    """How a version's predictions are counted. ``answers``: the names of the answers that ``answers_reference`` counts:
    the classes, or where a number lies. ``repeated``: the largest share of the reference that were the same row.
    ``sureness``: sum, and sum of squares, of how sure the reference's answers were (see sureness_of).
    """

    features: list[Column]
    score: Column
    output: str
    answers: list[str]
    answers_reference: Counts
    rows: int
    repeated: float
    answer_edges: Matrix
    slicings: list[Slicing] = field(default_factory=list)
    sureness: tuple[float, float] = (0.0, 0.0)


def make_bins(
    signature: Signature, rows: Matrix, scores: Matrix, slices: Sequence[str] = (), days: Sequence[int] = ()
) -> Bins:
    """The bins of a version whose reference has these rows (rows, features) and scores (rows, outputs).

    ``slices``: names of the features that it is sliced by. ``days``: how many of the rows, one after another, are of
    each day; none where that is not known.
    """
    of_day = np.repeat(np.arange(len(days)), days)
    features = [_column(feature, rows[:, i], of_day) for i, feature in enumerate(signature.features[:MAX_FEATURES])]
    score = _numbers("score", main_score(scores), of_day)
    edges = np.zeros(0) if signature.classes else np.quantile(scores[:, 0], _OUTER)
    names = list(signature.classes) or ["below the usual", "usual", "above the usual"]
    of_rows = answers_of(scores, signature.output, edges)
    answers = np.bincount(of_rows, minlength=len(names))
    _, times = np.unique(hashes(rows), return_counts=True)
    score_cells = places_of(score, main_score(scores)).astype(np.int64)
    sure = sureness_of(scores, signature.output)
    return Bins(
        features=features,
        score=score,
        output=signature.output,
        answers=names,
        answers_reference=answers.astype(np.int64),
        answer_edges=edges,
        rows=len(rows),
        repeated=float(times.max()) / len(rows) if len(rows) else 0.0,
        slicings=make_slicings(
            signature, slices, rows, Cells(score_cells, len(score.reference)), Cells(of_rows, len(names))
        ),
        sureness=(float(sure.sum()), float((sure**2).sum())),
    )


def cells_of(column: Column, values: Matrix) -> Counts:
    """How many of the values fall into each cell of a column."""
    return np.bincount(places_of(column, values), minlength=len(column.reference)).astype(np.int64)


def places_of(column: Column, values: Matrix) -> Counts:
    """The cell of a column that each value falls into."""
    if column.codes is None:
        places = VALUES + np.searchsorted(column.edges, values, side="right")
    else:
        codes = np.append(column.codes, NOT_KNOWN)
        known = (values >= 0) & (values < len(column.codes))  # contract.signature.UNSEEN is less than any code
        places = codes[np.where(known, values, len(column.codes)).astype(np.int64)]
    return np.where(np.isnan(values), MISSING, places)


def main_score(scores: Matrix) -> Matrix:
    """The one number of each answer that is watched: the only one, or the greatest of several classes'."""
    return scores[:, 0] if scores.shape[1] == 1 else scores.max(axis=1)


def sureness_of(scores: Matrix, output: str) -> Matrix:
    """How likely each answer is right by its own probability: of the more likely class. Empty for a number."""
    if output in OF_NUMBERS:
        return np.zeros(0)
    return np.maximum(scores[:, 0], 1 - scores[:, 0]) if output == "binary" else scores.max(axis=1)


def answers_of(scores: Matrix, output: str, edges: Matrix) -> Counts:
    """Which answer each row of scores is, by its place among ``Bins.answers``."""
    if output == "binary":
        return (scores[:, 0] >= 0.5).astype(np.int64)
    if output == "multiclass":
        best: Counts = scores.argmax(axis=1).astype(np.int64)
        return best
    above: Counts = np.searchsorted(edges, scores[:, 0], side="right").astype(np.int64)
    return above


def hashes(rows: Matrix) -> npt.NDArray[np.uint64]:
    """A hash of each row. All missing values are alike, whatever their bits."""
    bits = np.where(np.isnan(rows), np.nan, rows + 0.0).view(np.uint64)
    mixed = np.full(len(rows), 0x9E37_79B9_7F4A_7C15, np.uint64)
    for i in range(rows.shape[1]):  # FNV-1a's way, 64 bits at a time
        mixed = (mixed ^ bits[:, i]) * np.uint64(0x0000_0100_0000_01B3)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _column(feature: Feature, values: Matrix, of_day: Counts) -> Column:
    if feature.type == "category":
        return _category(feature, values, of_day)
    return _numbers(feature.name, values, of_day)


def _numbers(name: str, values: Matrix, of_day: Counts) -> Column:
    known = values[np.isfinite(values)]
    different = np.unique(known)
    if len(different) <= CELLS:
        edges = (different[1:] + different[:-1]) / 2
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, CELLS + 1)[1:-1]))
    return _counted(Column(name, np.zeros(VALUES + len(edges) + 1, np.int64), edges), values, of_day)


def _category(feature: Feature, values: Matrix, of_day: Counts) -> Column:
    counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(feature.categories))
    frequent = np.sort(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
    codes = np.full(len(feature.categories), VALUES + len(frequent))
    codes[frequent] = VALUES + np.arange(len(frequent))
    cells = VALUES + len(frequent) + (len(frequent) < len(feature.categories))
    return _counted(Column(feature.name, np.zeros(cells, np.int64), np.zeros(0), codes), values, of_day)


def _counted(column: Column, values: Matrix, of_day: Counts) -> Column:
    cells, spread = len(column.reference), None
    places = places_of(column, values).astype(np.int64)
    if len(of_day):
        days = int(of_day[-1]) + 1
        by_day = np.bincount(of_day * cells + places, minlength=days * cells).reshape(days, cells)
        spread = spread_of(by_day.astype(float))
    return replace(column, reference=np.bincount(places, minlength=cells).astype(np.int64), spread=spread)
