"""Functions that model files of test_ownpython name."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def positive(table: pa.Table) -> Any:
    return pc.fill_null(pc.greater(table["n"], 0), False)


def nothing(_table: pa.Table) -> Any:
    return None


def short(table: pa.Table) -> Any:
    return positive(table)[1:]


def fails(table: pa.Table) -> Any:
    return table["no such column"]


def balanced(table: pa.Table) -> pa.Table:
    """Rows of the rarer class count twice."""
    return pa.concat_tables([table, table.filter(pc.equal(table["c"], "red"))])


def flipped(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("y"), "y", pc.invert(table["y"]))


def scaled(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("n"), "n", pc.multiply(table["n"], 2.0))


def enriched(table: pa.Table) -> pa.Table:
    return table.append_column("n2", pc.multiply(table["n"], 2.0))


def narrowed(table: pa.Table) -> pa.Table:
    return table.drop_columns(["c"])


def invented(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("__row"), "__row", pa.array([10**6] * table.num_rows))


NO_FUNCTION = 3
