"""Rankings: rows that belong to one query, and how well scores put the relevant ones of them first.

The figure is NDCG (Järvelin and Kekäläinen 2002) with the gains that LightGBM trains by, 2^relevance - 1. Rows of equal
scores share the mean of their places (McSherry and Najork 2008), so that scores which are all the same are worth what
a random order is worth on average. A query whose rows are all equally relevant can't be ranked well or badly, and is
left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.features import as_text
from shipway.contract.errors import InvalidField
from shipway.contract.spec import ModelSpec

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
MAX_QUERY_ROWS = 10_000  # LightGBM's limit


@dataclass(frozen=True)
class Ranked:
    """Which rows were ranked together: the number of each row's query (rows,). Of each query the best ``at`` count."""

    queries: Codes
    at: int

    def of(self, rows: slice | npt.NDArray[np.bool_]) -> "Ranked":
        """That of some of the rows."""
        return Ranked(self.queries[rows], self.at)


def ranked(spec: ModelSpec, queries: Codes | None) -> Ranked | None:
    """How a model's rows are ranked; None for a model that ranks nothing, which has no queries."""
    return None if queries is None else Ranked(queries, spec.gates.ndcg_at)


def queries_of(client_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The query that each prediction's client named: its id of the row without the last part, "view-81" of "view-81/3".

    Null where the id has no such parts.
    """
    parts = pc.extract_regex(client_ids.cast(pa.string()), r"^(?P<query>.+)/[^/]*$")
    return pc.struct_field(parts, "query")


def in_queries(spec: ModelSpec, table: pa.Table) -> tuple[pa.Table, Codes | None]:
    """The rows with those of a query together, in the order of queries' first rows; and the number of each row's query.

    Of a model that ranks nothing the table as it is, and None.

    Raises:
        Permanent: a row has no query, or the column's type can't name one.
    """
    name = spec.data.query_column
    if name is None:
        return table, None
    column = as_text("data.query_column", table.column(name))
    if column.null_count:
        raise InvalidField("data.query_column", f"{name!r} is null in {column.null_count:,} rows; each needs its query")
    numbers = np.asarray(pc.index_in(column, pc.unique(column)).to_numpy(), np.int64)
    order = np.argsort(numbers, kind="stable")
    return table.take(pa.array(order)), numbers[order]


def sizes_of(queries: Codes) -> Codes:
    """How many rows each query has; the rows of a query lie together."""
    return np.asarray(np.unique(queries, return_counts=True)[1], np.int64)


def uneven_columns(table: pa.Table, queries: Codes, columns: Sequence[str]) -> list[str]:
    """Those of the columns that are not the same in all rows of each query; the rows of a query lie together."""
    sizes = sizes_of(queries)
    first_of_query = pa.array(np.repeat(np.cumsum(sizes) - sizes, sizes))
    found = []
    for name in columns:
        column = table.column(name)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)  # NaN equals nothing, not even itself
        if not column.take(first_of_query).equals(column):
            found.append(name)
    return found


def newest_rows(queries: Codes | None, rows: int, share: float) -> int:
    """How many of the last rows are about such a share of them, no query cut apart, and not all of them."""
    wanted = int(rows * share)
    if queries is None or not wanted:
        return wanted
    cut = int(np.searchsorted(queries, queries[rows - wanted], "left"))
    return rows - (cut or int(np.searchsorted(queries, queries[0], "right")))


def ndcg_by_query(labels: Matrix, scores: Matrix, how: Ranked) -> Matrix:
    """NDCG of each query whose rows differ in relevance, in the order of the queries' numbers.

    ``labels`` (rows,) are relevances, whole numbers from 0; ``scores`` (rows,).
    """
    if not len(labels):
        return np.empty(0)
    _, queries = np.unique(how.queries, return_inverse=True)
    by_score, by_relevance = np.lexsort((-scores, queries)), np.lexsort((-labels, queries))
    query, ordered = queries[by_score], scores[by_score]
    sizes = np.bincount(query)
    ends = np.cumsum(sizes)
    place = np.arange(len(query)) - np.repeat(ends - sizes, sizes)
    discount = np.where(place < how.at, 1 / np.log2(place + 2), 0.0)
    ties = np.flatnonzero(np.append(True, (query[1:] != query[:-1]) | (ordered[1:] != ordered[:-1])))
    alike = np.diff(np.append(ties, len(query)))
    shared = np.repeat(np.add.reduceat(discount, ties) / alike, alike)
    gained = np.bincount(query, _gains(labels[by_score]) * shared)
    falling = labels[by_relevance]
    most = np.bincount(query, _gains(falling) * discount)
    tells = falling[ends - sizes] > falling[ends - 1]
    found: Matrix = gained[tells] / most[tells]
    return found


def _gains(labels: Matrix) -> Matrix:
    return np.exp2(labels) - 1
