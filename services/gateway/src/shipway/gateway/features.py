"""What this gateway has of the look-up tables, over REST: how full they are, and one entity's row."""

from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from shipway.contract.lookups import entity_key
from shipway.gateway.featuretable import FeatureTable
from shipway.runtime.http import Problem
from shipway.runtime.openapi import problems


class FeatureRow(BaseModel):
    """What is known of an entity; ``at``: when that was so."""

    table: str
    key: str
    values: dict[str, str | int | float | bool | None]
    at: datetime


class FeatureTables(BaseModel):
    """The look-up tables, with how many rows each has. ``left_out``: rows that there is no room for.

    ``state`` is not followed until a version that is held looks features up, or somebody looks one up here.
    """

    state: str
    tables: dict[str, int]
    rows: int
    bytes: int
    most_rows: int
    most_bytes: int
    left_out: int


def add_features(app: FastAPI, features: FeatureTable) -> None:
    """Adds the routes."""

    @app.get("/features", tags=["features"], summary="The look-up tables", responses=problems())
    async def tables() -> FeatureTables:
        state = "read" if features.ready else "being read" if features.wanted.is_set() else "not followed"
        return FeatureTables(state=state, tables=dict(features.tables), **vars(features.room))

    @app.get(
        "/features/{table}/{key:path}",
        tags=["features"],
        summary="What a look-up table has of an entity",
        responses=problems(404, 422, 503),
    )
    async def row(table: str, key: str) -> FeatureRow:
        features.wanted.set()
        if not features.ready:
            raise Problem(503, "the look-up tables are being read", retry_after_s=1)
        known = features.find(table, key) if entity_key(key) == key else None
        if known is None:
            raise Problem(404, f"{key[:100]!r} is not in {table[:100]!r}")
        values: Any = known.values
        return FeatureRow(table=table, key=key, values=values, at=datetime.fromtimestamp(known.at, UTC))
