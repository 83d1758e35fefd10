"""The labels of the prediction history, as they held at a moment: what became known later is not used."""

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.historyfiles import moment, read_file
from shipway.contract.history import day_of, labels_prefix
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings


def labels_between(
    store: ObjectStore, model: str, first: date, last: date, as_of: datetime, allowed: DataSettings
) -> pa.Table:
    """``prediction_id`` and ``label`` of the days' predictions, as they held at ``as_of``."""
    keys = [key for key in store.list(labels_prefix(model)) if first <= (day_of(key) or date.min) <= last]
    wanted = ["prediction_id", "label", "received_at", "settled_at", "earlier"]
    tables = [_held(read_file(key, store.get(key, allowed.max_file_bytes), wanted, allowed), as_of) for key in keys]
    empty = pa.table({"prediction_id": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    return pa.concat_tables(tables, promote_options="permissive") if tables else empty


def _held(table: pa.Table, as_of: datetime) -> pa.Table:
    """The labels that held then: of one that was corrected later, the one before."""
    settled = table["received_at"]
    if "settled_at" in table.column_names:
        settled = pc.coalesce(table["settled_at"], settled)
    known = pc.less_equal(settled, moment(as_of))
    held = table.select(["prediction_id", "label"]).filter(known)
    if "earlier" not in table.column_names:
        return held
    corrected = pc.greater(pc.fill_null(pc.list_value_length(table["earlier"]), 0), 0)
    later = table.filter(pc.and_(pc.invert(known), corrected))
    before = [_before(row, as_of) for row in later.select(["prediction_id", "earlier"]).to_pylist()]
    rows = [row for row in before if row is not None]
    return pa.concat_tables([held, pa.Table.from_pylist(rows, held.schema)])


def _before(row: dict[str, Any], as_of: datetime) -> dict[str, Any] | None:
    held = [one for one in row["earlier"] if one["settled_at"] <= as_of]
    return {"prediction_id": row["prediction_id"], "label": held[-1]["label"]} if held else None
