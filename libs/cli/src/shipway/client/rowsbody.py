"""Rows as a request for predictions has them: named each, or, of many and of a DataFrame, by columns named once."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs

MANY = 32
"""From so many rows on their names are sent once, where all have the same."""


def rows_body(rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> dict[str, Any]:
    """The part of the body that has the rows. What a DataFrame lacks (NaN, NA, None) is null."""
    if _is_frame(rows):
        columns = [column.astype(object).where(column.notna(), None).tolist() for _, column in rows.items()]
        return {"columns": [str(name) for name in rows.columns], "data": list(zip(*columns, strict=True))}
    if len(rows) >= MANY:
        names = rows[0].keys()
        if all(row.keys() == names for row in rows):
            return {"columns": list(names), "data": [[row[name] for name in names] for row in rows]}
    return {"rows": list(rows)}


def _is_frame(rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> "TypeIs[pd.DataFrame]":
    pandas = sys.modules.get("pandas")  # who has a DataFrame has imported it
    return pandas is not None and isinstance(rows, pandas.DataFrame)
