"""Cuts the holdout into slices by a declared column: categories by value, numbers into quarters."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.ranking import Ranked
from shipway.contract.errors import InvalidField
from shipway.contract.signature import OutputKind
from shipway.evaluator.facts import Slice
from shipway.evaluator.measuring.paired import Matrix, Side, difference, influence

Mask = npt.NDArray[np.bool_]
MAX_VALUES = 50
_FEW = 20


def cut(name: str, column: pa.ChunkedArray) -> Iterator[tuple[str, Mask]]:
    """Each slice of the column, by name, and which rows are in it; of very many values the most frequent fifty.

    Raises:
        Permanent: the column is of a type that can't be cut.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if number and pc.count_distinct(column).as_py() > _FEW:
        yield from _quarters(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    elif number or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
        yield from _values(column.cast(pa.string()))
    elif not pa.types.is_null(kind):
        raise InvalidField("gates.slices", f"{name} is a column of {kind}; slices need text, numbers or booleans")
    if column.null_count:
        yield "missing", np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _values(column: pa.ChunkedArray) -> Iterator[tuple[str, Mask]]:
    counts = pc.value_counts(column.drop_null())
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])[:MAX_VALUES]
    for value in counts.field("values").take(order):
        same = pc.fill_null(pc.equal(column, value), False)
        yield value.as_py()[:100], np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _quarters(values: Matrix) -> Iterator[tuple[str, Mask]]:
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1])) if len(known) else np.empty(0)
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        yield f"{low:g} to {'' if last else 'below '}{high:g}", inside


def measure_slice(
    column: str,
    value: str,
    metric: str,
    output: OutputKind,
    ours: Side,
    theirs: Side | None,
    confidence: float,
    ranked: Ranked | None = None,
) -> Slice:
    """The metric on a slice's rows; ``theirs`` is the champion's side of the same rows, None without one.

    ``ranked``: of a ranking, which of the rows belong together.
    """
    rows = len(ours[0])
    figure, _ = influence(metric, output, *ours, ranked)
    if theirs is None:
        return Slice(column, value, rows, _finite(figure))
    against, _ = influence(metric, output, *theirs, ranked)
    better = difference(metric, output, ours, theirs, confidence, ranked)
    return Slice(column, value, rows, _finite(figure), _finite(against), better)


def _finite(figure: float) -> float | None:
    return figure if np.isfinite(figure) else None
