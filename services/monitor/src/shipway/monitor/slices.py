"""The predictions of parts of the traffic, cut by declared features: categories by value, numbers into quarters. Pure.

The cuts are learnt from the version's reference, so that sums of batches, monitors and windows add up. A feature has
so many parts at most; what is rarer, or was not known in training, is in the part ``other``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shipway.contract.signature import Feature, Signature

Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
MOST_VALUES = 20
OTHER, MISSING = "other", "missing"


@dataclass(frozen=True)
class Slicing:
    """How one feature cuts. ``names`` are its parts, the last two OTHER and MISSING; a number's part is by how many of
    ``edges`` it reaches, a category's by its code in ``codes``. ``place``: of the feature among the version's.
    ``rows``, ``score`` and ``answers`` (parts, cells one after another): of the reference.
    """

    name: str
    place: int
    names: list[str]
    edges: Matrix
    rows: Counts
    score: Counts
    codes: Counts | None = None
    answers: Counts = field(default_factory=lambda: np.zeros(0, np.int64))


def _none() -> Counts:
    return np.zeros(0, np.int64)


@dataclass
class Sliced:
    """Sums by part of one feature: how predictions ended, latencies, score and answers in cells, part after part."""

    answered: Counts = field(default_factory=_none)
    failed: Counts = field(default_factory=_none)
    latencies: Counts = field(default_factory=_none)
    score: Counts = field(default_factory=_none)
    answers: Counts = field(default_factory=_none)

    def add(self, other: "Sliced") -> None:
        """Adds another's, of the same slicing."""
        for name, theirs in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, mine + theirs if len(mine) and len(theirs) else mine if len(mine) else theirs)


def make_slicings(
    signature: Signature, names: Sequence[str], rows: Matrix, score: "Cells", answers: "Cells"
) -> list[Slicing]:
    """The slicings of a version by these features, other names left out, of its reference's rows."""
    found = []
    for place, feature in enumerate(signature.features):
        if feature.name in names:
            cut = _cut(feature, place, rows[:, place])
            at = parts_of(cut, rows[:, place])
            parts = len(cut.names)
            counted = np.bincount(at, minlength=parts), score.by(at, parts), cut.codes, answers.by(at, parts)
            found.append(Slicing(cut.name, place, cut.names, cut.edges, *counted))
    return found


def parts_of(cut: Slicing, values: Matrix) -> Counts:
    """The part that each value is in, by its place in ``names``."""
    other, missing = len(cut.names) - 2, len(cut.names) - 1
    if cut.codes is None:
        parts = np.searchsorted(cut.edges, values, side="right")
    else:
        known = (values >= 0) & (values < len(cut.codes))
        parts = np.append(cut.codes, other)[np.where(known, values, len(cut.codes)).astype(np.int64)]
    return np.where(np.isnan(values), missing, parts).astype(np.int64)


@dataclass(frozen=True)
class Cells:
    """The cell of each row (rows,), out of so many."""

    places: Counts
    cells: int

    def by(self, at: Counts, parts: int) -> Counts:
        """Counts of the rows by the part that each is in, and by cell, part after part."""
        counted = np.bincount(at * self.cells + self.places, minlength=parts * self.cells)
        return counted.astype(np.int64)


def count(cut: Slicing, values: Matrix, latencies: Cells, score: Cells, answers: Cells) -> Sliced:
    """Answered predictions by part: of each its value (rows,), and the cells of its latency, score and answer."""
    at, parts = parts_of(cut, values), len(cut.names)
    return Sliced(
        answered=np.bincount(at, minlength=parts).astype(np.int64),
        failed=np.zeros(parts, np.int64),
        latencies=latencies.by(at, parts),
        score=score.by(at, parts),
        answers=answers.by(at, parts),
    )


def count_failed(cut: Slicing, values: Matrix) -> Sliced:
    """Failed predictions by part."""
    return Sliced(failed=np.bincount(parts_of(cut, values), minlength=len(cut.names)).astype(np.int64))


def _cut(feature: Feature, place: int, values: Matrix) -> Slicing:
    empty = np.zeros(0, np.int64)
    if feature.type == "number":
        known = values[np.isfinite(values)]
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0)
        bounds = [f"{edge:g}" for edge in edges]
        names = [f"below {bounds[0]}"] if bounds else ["any"]
        names += [f"{low} to below {high}" for low, high in itertools.pairwise(bounds)]
        names += [f"from {bounds[-1]}"] if bounds else []
        return Slicing(feature.name, place, [*names, OTHER, MISSING], edges, empty, empty)
    texts = feature.categories if feature.type == "category" else ["false", "true"]
    counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(texts))[: len(texts)]
    frequent = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
    codes = np.full(len(texts), len(frequent))
    codes[frequent] = np.arange(len(frequent))
    names = [*(texts[i][:100] for i in frequent), OTHER, MISSING]
    return Slicing(feature.name, place, names, np.zeros(0), empty, empty, codes)
