"""From a table of data to the model's numbers, by the signature: at training, at evaluation, and never at serving.

Serving encodes single rows by contract.signature.RowEncoder; a test holds both to the same numbers.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.contract.errors import InvalidField
from shipway.contract.rowencoding import UNSEEN
from shipway.contract.signature import MAX_CATEGORIES, OF_NUMBERS, Feature, Signature, encode_signature
from shipway.contract.spec import ModelSpec

Matrix = npt.NDArray[np.float64]
MAX_RELEVANCE = 30  # of a row of a ranking; LightGBM knows gains for no more


def learn_signature(spec: ModelSpec, table: pa.Table) -> Signature:
    """The signature of a version trained on ``table``: categories and classes are those found, where the spec has none.

    Raises:
        Permanent: a column's type does not fit its feature's, the target's classes don't fit its kind, or there are
            more categories than can be served.
    """
    features = []
    for name, wanted in spec.features.items():
        categories = wanted.categories or []
        if wanted.type == "category" and not categories:
            found = pc.unique(as_text(name, table.column(name))).drop_null().to_pylist()
            if len(found) > MAX_CATEGORIES:
                raise InvalidField(f"features.{name}", f"has {len(found)} categories; the limit is {MAX_CATEGORIES}")
            categories = sorted(found)
        features.append(
            Feature(
                name=name,
                type=wanted.type,
                categories=categories,
                nullable=wanted.nullable,
                optional=wanted.optional,
                unseen=wanted.unseen,
            )
        )
    learnt = Signature(
        features=features,
        output=spec.target.kind,
        target=spec.target.column,
        classes=learn_classes(spec, table),
    )
    encode_signature(learnt)  # before an hour of training, not after it
    return learnt


def encode_table(signature: Signature, table: pa.Table) -> Matrix:
    """The features of ``table`` as numbers, (rows, features); NaN is a missing value.

    Raises:
        Permanent: a column is missing or its type does not fit.
    """
    columns = []
    for feature in signature.features:
        if feature.name not in table.column_names:
            raise InvalidField(feature.name, "is not a column of the data")
        columns.append(_column(feature, table.column(feature.name)))
    return np.ascontiguousarray(np.column_stack(columns)) if table.num_rows else np.empty((0, len(columns)))


def encode_target(signature: Signature, table: pa.Table) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The target as numbers (the class's index, or the value), and which rows have one.

    A row whose target is null, not finite, not one of the classes, or no relevance (a whole number from 0 to
    MAX_RELEVANCE) has none: it is set aside and counted.

    Raises:
        Permanent: the target's column is missing or of a type that can't be.
    """
    if signature.target not in table.column_names:
        raise InvalidField("target.column", f"{signature.target!r} is not a column of the data")
    column = table.column(signature.target)
    if signature.output == "ranking":
        values = _numbers(signature.target, column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column)
        return values, (values >= 0) & (values <= MAX_RELEVANCE) & (values == np.floor(values))
    if signature.output == "regression":
        values = _numbers(signature.target, column)
    else:
        indices = pc.index_in(as_text(signature.target, column), pa.array(signature.classes, pa.string()))
        values = indices.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values, np.isfinite(values)


def _column(feature: Feature, column: pa.ChunkedArray) -> Matrix:
    if feature.type == "category":
        text = as_text(feature.name, column)
        codes = pc.index_in(text, pa.array(feature.categories, pa.string())).cast(pa.float64())
        unseen = pc.and_(pc.is_valid(text), pc.is_null(codes))
        codes = pc.if_else(unseen, pa.scalar(UNSEEN), codes)
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.float64)
    if feature.type == "boolean":
        if not pa.types.is_boolean(column.type):
            raise InvalidField(f"features.{feature.name}", f"is declared boolean, but its column is {column.type}")
        return _numbers(feature.name, column.cast(pa.int8()))
    values = _numbers(feature.name, column)
    return np.where(np.isfinite(values), values, np.nan)


def _numbers(name: str, column: pa.ChunkedArray) -> Matrix:
    kind = column.type
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        raise InvalidField(name, f"must be a column of numbers, but is {kind}; for text declare it a category")
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def as_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column's values as the text that a JSON value of them has (see signature.category_text).

    Raises:
        Permanent: of no type that has one.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind) and pc.all(pc.equal(pc.floor(column), column)).as_py() is not False:
        column, kind = column.cast(pa.int64()), pa.int64()  # whole numbers that nulls turned into floats
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise InvalidField(name, f"must be a column of text, whole numbers or booleans, but is {kind}")
    return column.cast(pa.string())


def learn_classes(spec: ModelSpec, table: pa.Table) -> list[str]:
    """The target's classes in the order of the output: the spec's, or those found; none for a regression, a ranking.

    Raises:
        Permanent: what is found does not fit the target's kind.
    """
    if spec.target.kind in OF_NUMBERS:
        return []
    if spec.target.classes is not None:
        return list(spec.target.classes)
    column = table.column(spec.target.column)
    found = pc.unique(as_text("target.column", column)).drop_null().to_pylist()
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    classes = sorted(found, key=int) if numeric else sorted(found)
    if spec.target.kind == "binary" and len(classes) != 2:
        raise InvalidField(
            "target.column", f"a binary target needs two classes in the training window; found {classes[:10]}"
        )
    if not 2 <= len(classes) <= 1000:
        raise InvalidField("target.column", f"a multiclass target needs 2 to 1,000 classes; found {len(classes)}")
    return classes
