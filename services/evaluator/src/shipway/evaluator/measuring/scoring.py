"""A window's rows with their labels, and what versions score for them."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.capi import Booster, LightGBMError
from shipway.bundle.features import as_text, encode_table, encode_target
from shipway.bundle.ranking import Codes, in_queries
from shipway.bundle.store import Bundle
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Latency
from shipway.evaluator.measuring.latency import latency
from shipway.evaluator.measuring.paired import Side

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """The rows of a window that have a label: as read, as numbers (rows, features), and their labels (rows,).

    Of very many training rows only the newest are numbers. Of a ranking the rows of a query lie together, and
    ``queries`` (rows,) numbers them.
    """

    table: pa.Table
    features: Matrix
    labels: Matrix
    set_aside: int
    queries: Codes | None = None


@dataclass(frozen=True)
class Against:
    """The champion's scores for the rows whose labels it knows; ``known`` says which those are.

    ``labels`` and ``scores`` are of all rows, by the champion's classes; a label that it does not know is NaN.
    """

    signature: Signature
    known: npt.NDArray[np.bool_]
    labels: Matrix
    scores: Matrix

    def side(self, rows: npt.NDArray[np.bool_]) -> Side:
        """Labels and scores of those of the rows that it knows."""
        return self.labels[rows & self.known], self.scores[rows & self.known]


def labelled(spec: ModelSpec, signature: Signature, table: pa.Table, newest: int | None = None) -> Labelled:
    """The rows of a table that have a label, and of a ranking a query; with ``newest`` so many of them as numbers.

    Raises as encode_table.
    """
    all_rows = table.num_rows
    if spec.data.query_column is not None:
        table = table.filter(pc.is_valid(table.column(spec.data.query_column)))
    table, queries = in_queries(spec, table)
    labels, has_label = encode_target(signature, table)
    rows = table.filter(has_label)
    begin = 0 if newest is None else max(0, rows.num_rows - newest)
    features = encode_table(signature, rows.slice(begin))
    numbers = None if queries is None else queries[has_label][begin:]
    return Labelled(rows, features, labels[has_label][begin:], all_rows - rows.num_rows, numbers)


def of_other_queries(spec: ModelSpec, table: pa.Table, trained: pa.Table) -> pa.Table:
    """The rows of a table whose query has no row in another; all of a model that ranks nothing.

    So a query that lies on both sides of the windows' bound is not judged by: training saw a part of it.
    """
    name = spec.data.query_column
    if name is None or not len(trained):
        return table
    query, seen = (as_text("data.query_column", one.column(name)) for one in (table, trained))
    return table.filter(pc.invert(pc.is_in(query, pc.unique(seen).drop_null())))


def scores_of_champion(champion: Bundle, signature: Signature, rows: pa.Table) -> Against:
    """The champion's scores for the rows, which have labels by ``signature``.

    Raises:
        Permanent: it predicts something else, or knows none of the labels, or needs what the rows lack.
    """
    theirs = champion.signature
    if (theirs.output, theirs.target) != (signature.output, signature.target):
        raise InvalidField("target", f"it predicts {theirs.target!r} ({theirs.output})")
    labels, known = encode_target(theirs, rows)
    if not known.any():
        raise InvalidField("target", "no row of the holdout has a label that it knows")
    scores, _ = scores_of(champion, encode_table(theirs, rows))
    return Against(theirs, known, labels, scores)


def scores_of(bundle: Bundle, features: Matrix) -> tuple[Matrix, Latency]:
    """A version's scores (rows, outputs) for ``features`` (rows, features), and how long one row takes.

    Raises:
        Permanent: LightGBM can't use the model.
    """
    outputs = bundle.signature.outputs_per_row
    try:
        begun = time.perf_counter()
        booster = Booster(bundle.model_text)
        load_s = time.perf_counter() - begun
        try:
            return booster.predict(features, outputs), latency(booster, outputs, features, load_s)
        finally:
            booster.close()
    except LightGBMError as err:
        raise Permanent(f"LightGBM: {err}") from err
