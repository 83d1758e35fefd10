"""Rows as the numbers of a version that looks features up: these filled in, then encoded as any."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import Counter

from shipway.contract.rowencoding import InvalidRows, RowEncoder
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.filling import Known, explained, fill
from shipway.runtime.http import Problem

LOOKUPS = Counter("shipway_gateway_lookups_total", "Rows whose entity was looked up, and known.", ["model", "table"])


def encoded_with_lookups(
    model: str, encoder: RowEncoder, rows: Sequence[Any], features: FeatureTable
) -> tuple[list[list[float]], Mapping[str, int]]:
    """The numbers, and of how many rows each look-up table knew the entity.

    Raises:
        InvalidRows: with every wrong field. Problem: 503, an entity is not found in tables that are not whole here.
    """

    def find(table: str, key: str) -> Known | None:
        known = features.find(table, key)
        if known is None and (left_out := features.room.left_out):
            raise Problem(503, f"{left_out} rows of look-up tables have no room here; see docs/playbook.md#look-ups")
        return known

    filled = fill(encoder.lookups, encoder.names, rows, find, time.time())
    try:
        numbers = encoder.encode(filled.rows)
    except InvalidRows as err:
        raise explained(err, filled) from err
    for table, count in filled.found.items():
        LOOKUPS.labels(model, table).inc(count)
    return numbers, filled.found
