"""What the data checks look at, measured on Arrow tables and NumPy arrays: which rows to set aside, and figures."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.boosting import Matrix, Prepared
from shipway.bundle.features import MAX_RELEVANCE, encode_target, learn_classes
from shipway.bundle.metrics import auc
from shipway.bundle.ranking import in_queries, sizes_of, uneven_columns
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.trainer.checks import NO_TARGET, FeatureFigures, Figures, QueryFigures

Mask = npt.NDArray[np.bool_]
_SAMPLE = 20_000
_BINS = 128
# Fewer rows say nothing of how well a feature predicts: a category of one row each would predict all.
_LEAST_TO_JUDGE = 200


def set_aside(spec: ModelSpec, table: pa.Table) -> tuple[Mask, dict[str, int]]:
    """Which rows are left, (rows,), and how many are not, by why; a row counts for the first reason alone.

    Raises:
        Permanent: a column's type does not fit.
    """
    target = Signature(
        features=[], output=spec.target.kind, target=spec.target.column, classes=learn_classes(spec, table)
    )
    values, known = encode_target(target, table)
    left, counts = known.copy(), {NO_TARGET: int((~known).sum())}
    if target.output == "ranking" and (misfits := int((~known & np.isfinite(values)).sum())):
        counts = {NO_TARGET: counts[NO_TARGET] - misfits, f"of no relevance from 0 to {MAX_RELEVANCE}": misfits}
    reasons = {"of an id that comes again later": _repeated(spec, table)}
    if (query := spec.data.query_column) is not None:
        reasons[f"without {query}"] = table.column(query).is_null().to_numpy()
    for name, feature in spec.features.items():
        column = table.column(name)
        if not feature.nullable and column.null_count:
            reasons[f"without {name}"] = column.is_null().to_numpy()
        if feature.type == "number" and (feature.min is not None or feature.max is not None):
            reasons[f"with {name} out of range"] = _out_of_range(column, feature.min, feature.max)
    for reason, mask in reasons.items():
        if mask is not None and (count := int((left & mask).sum())):
            counts[reason] = count
            left &= ~mask
    return left, counts


def queries_of(spec: ModelSpec, table: pa.Table) -> QueryFigures:
    """The figures of a ranking's queries, of rows that all have a relevance.

    Raises:
        Permanent: a column's type does not fit.
    """
    together, queries = in_queries(spec, table)
    assert queries is not None, "only a ranking has queries"
    if not len(queries):
        return QueryFigures(0, 0, 0, 0)
    target = Signature(features=[], output="ranking", target=spec.target.column)
    labels, sizes = encode_target(target, together)[0], sizes_of(queries)
    begins = np.cumsum(sizes) - sizes
    differ = np.maximum.reduceat(labels, begins) > np.minimum.reduceat(labels, begins)
    return QueryFigures(
        queries=len(sizes),
        telling=int(differ.sum()),
        of_one_row=int((sizes == 1).sum()),
        longest=int(sizes.max()),
        uneven=uneven_columns(together, queries, spec.gates.slices),
    )


def _repeated(spec: ModelSpec, table: pa.Table) -> Mask | None:
    """Rows whose id is also that of a later one: the newest says what holds."""
    name = spec.data.id_column
    if name is None or spec.checks.duplicates == "keep":
        return None
    ids = table.column(name)
    if pc.count_distinct(ids).as_py() + ids.null_count == len(ids):
        return None
    numbered = pa.table({"id": ids, "row": pa.array(np.arange(len(ids)))})
    newest = numbered.group_by("id").aggregate([("row", "max")]).column("row_max").to_numpy()
    repeated = np.ones(len(ids), dtype=np.bool_)
    repeated[newest] = False
    repeated[ids.is_null().to_numpy()] = False
    return repeated


def _out_of_range(column: pa.ChunkedArray, least: float | None, most: float | None) -> Mask | None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return None  # encoding says what is wrong with it
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    outside: Mask = (values < (-np.inf if least is None else least)) | (values > (np.inf if most is None else most))
    return outside


def figures_of(signature: Signature, prepared: Prepared) -> Figures:
    """The figures of the rows to train on; how well features predict is judged on a sample of them, in order."""
    labels, missing = prepared.labels, np.isnan(prepared.features).mean(axis=0)
    sample = np.linspace(0, len(labels) - 1, min(_SAMPLE, len(labels))).astype(int)
    features = [
        FeatureFigures(f.name, float(missing[i]), alone(signature, prepared.features[sample, i], labels[sample]))
        for i, f in enumerate(signature.features)
    ]
    if not signature.classes:
        return Figures(features, constant_target=bool(np.ptp(labels) == 0))
    shares = np.bincount(labels.astype(int), minlength=len(signature.classes)) / len(labels)
    return Figures(features, dict(zip(signature.classes, shares.tolist(), strict=True)))


def alone(signature: Signature, values: Matrix, labels: Matrix) -> float:
    """How well one feature predicts the target, 0 (not at all) to 1 (perfectly).

    Every other row teaches which label goes with which value (numbers in 128 bins), the others are predicted: Gini
    (twice the AUC, less one) for two classes, the share of the constant prediction's errors avoided for several, R²
    for a number. Rows that teach do not judge, so that a category that names the row predicts nothing.
    """
    if len(labels) < _LEAST_TO_JUDGE:
        return 0.0
    bins = _binned(values)
    taught, judged = slice(0, None, 2), slice(1, None, 2)
    count = np.bincount(bins[taught], minlength=bins.max() + 1)
    truth = labels[judged]
    if signature.output == "multiclass":
        votes = np.zeros((len(count), len(signature.classes)))
        np.add.at(votes, (bins[taught], labels[taught].astype(int)), 1)
        usual = np.bincount(labels[taught].astype(int)).argmax()
        chosen = np.where(count > 0, votes.argmax(axis=1), usual)[bins[judged]]
        errors = np.mean(truth != usual)
        return float(1 - np.mean(chosen != truth) / errors) if errors else 0.0
    sums = np.bincount(bins[taught], weights=labels[taught], minlength=len(count))
    mean = np.where(count > 0, sums / np.maximum(count, 1), labels[taught].mean())[bins[judged]]
    if signature.output == "binary":
        gini = 2 * auc(truth == 1, mean) - 1
        return float(gini) if np.isfinite(gini) else 0.0
    spread = float(np.var(truth))
    return float(1 - np.mean((truth - mean) ** 2) / spread) if spread else 0.0


def _binned(values: Matrix) -> npt.NDArray[np.int64]:
    """Each value's bin from 0: what is missing has its own, as has each value where there are few."""
    known = values[~np.isnan(values)]
    edges = np.unique(known)
    if len(edges) > 4 * _BINS:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)))
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values)).astype(np.int64)
