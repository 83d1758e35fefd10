"""``golden.parquet``: encoded rows, and what the model gave for them; ``reference.parquet`` has the same form."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.bundle.referencedays import metadata_of
from shipway.contract.errors import Permanent
from shipway.contract.signature import Signature

Matrix = npt.NDArray[np.float64]


def encode_golden(rows: Matrix, scores: Matrix, days: Sequence[int] = ()) -> bytes:
    """``golden.parquet``: encoded rows as columns f0, f1, ..., and their scores as score0, score1, ...

    ``days``: of ``reference.parquet``, how many of the rows are of each day (see referencedays).
    """
    columns = {f"f{i}": rows[:, i] for i in range(rows.shape[1])}
    columns |= {f"score{i}": scores[:, i] for i in range(scores.shape[1])}
    sink = io.BytesIO()
    table = pa.table({name: pa.array(values, pa.float64()) for name, values in columns.items()})
    pq.write_table(table.replace_schema_metadata(metadata_of(days)), sink)
    return sink.getvalue()


def decode_golden(data: bytes, signature: Signature, max_rows: int) -> tuple[Matrix, Matrix]:
    """The rows (rows, features) and scores (rows, outputs) of ``golden.parquet``.

    Raises:
        Permanent: it does not hold them.
    """
    wanted = [f"f{i}" for i in range(len(signature.features))]
    outputs = [f"score{i}" for i in range(signature.outputs_per_row)]
    try:
        file = open_golden(data, max_rows)
        if file.schema_arrow.names != wanted + outputs or set(file.schema_arrow.types) != {pa.float64()}:
            raise Permanent(f"golden.parquet: needs the float64 columns {wanted[0]} to {outputs[-1]}")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as err:
        raise Permanent(f"golden.parquet: {err}") from err
    matrix = np.column_stack([table.column(name).to_numpy() for name in wanted + outputs])
    return np.ascontiguousarray(matrix[:, : len(wanted)]), np.ascontiguousarray(matrix[:, len(wanted) :])


def open_golden(data: bytes, max_rows: int) -> pq.ParquetFile:
    """A Parquet file of golden rows, opened but not read.

    Raises:
        Permanent: it has none, or more than ``max_rows``. pa.ArrowException, OSError, ValueError: it is no such file.
    """
    file = pq.ParquetFile(io.BytesIO(data))
    # Each group is read by its own number of rows, which the file's need not be the sum of.
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    if min(groups, default=0) < 0 or not 1 <= sum(groups) <= max_rows or sum(groups) != file.metadata.num_rows:
        raise Permanent(f"golden.parquet: has {sum(groups)} rows; 1 to {max_rows} are allowed")
    return file
