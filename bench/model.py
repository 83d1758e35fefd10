"""The model that everybody serves: 100 trees of 31 leaves on 20 numbers, trained by Shipway from made data."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.contract.spec import ModelSpec, parse_spec

NAME = "bench"
FEATURES = tuple(f"f{i}" for i in range(20))
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_spec(folder: Path, name: str = NAME, *, trees: int = 100, min_instances: int = 1) -> ModelSpec:
    """Writes 20,000 rows into a folder; gives the spec of a model on them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(20_000, len(FEATURES)))
    signal = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.5 * np.sin(3 * rows[:, 3]) + 0.3 * rng.normal(size=len(rows))
    columns: dict[str, Any] = {feature: rows[:, i] for i, feature in enumerate(FEATURES)}
    columns["at"] = [START + timedelta(minutes=i) for i in range(len(rows))]
    columns["y"] = signal > 0
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    raw = {
        "name": name,
        "data": {"source": f"folder:{folder}", "time_column": "at", "train": "10d", "holdout": "3d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {feature: {"type": "number"} for feature in FEATURES},
        "training": {
            "rounds": trees,
            "early_stopping_rounds": trees,
            "threads": 2,
            "params": {"num_leaves": 31, "min_data_in_leaf": 20},
        },
        "gates": {"max_regression": 0.5},
        "release": {"min_instances": min_instances, "canary": []},
        "retirement": {"max_age": "365d", "unused_for": "365d"},
    }
    return parse_spec(raw)


def make_rows(n: int, seed: int = 3) -> list[list[float]]:
    """Rows to ask for, rounded as clients would send them."""
    rng = random.Random(seed)
    return [[round(rng.gauss(0, 1), 4) for _ in FEATURES] for _ in range(n)]
