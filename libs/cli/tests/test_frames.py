"""Tables for notebooks: typed, of the time that was asked for, and whole over changes of a feature's type."""

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.client import Frame, ShipwayError, frames
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.signature import Feature, Signature
from shipway.monitor.parquet import Naming, encode, named
from shipway.runtime.objects import FolderStore

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def record(hour: int, version: int | None, features: list[float] | None) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"p{hour}",
        at=DAY + timedelta(hours=hour),
        model="houses",
        version=version,
        generation=1,
        instance="i",
        role="champion",
        outcome="refused" if version is None else "answered",
        reason=None,
        latency_us=100,
        client_id=None,
        trace_id=None,
        features=features,
        scores=None if version is None else [0.5],
    )


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def files(store: FolderStore) -> list[dict[str, Any]]:
    """Two files as the monitor writes and lists them; the floor is a number first, and a category later."""
    size, floor = Feature(name="size", type="number"), Feature(name="floor", type="number")
    named_floor = Feature(name="floor", type="category", categories=["ground", "first"])
    old = Naming(Signature(features=[size, floor], output="regression", target="y"))
    new = Naming(Signature(features=[size, named_floor], output="regression", target="y"))
    listed = []
    for key, records in (
        ("history/houses/2026-03-01/0.parquet", [record(1, 1, [70.0, 2.0]), record(2, None, None)]),
        ("history/houses/2026-03-02/0.parquet", [record(25, 2, [90.0, 1.0]), record(30, 2, [91.0, float("nan")])]),
    ):
        data = encode(named(decode_batch(encode_batch(records, "tests", "i").value), {1: old, 2: new})).data
        store.put(key, data)
        first, last = records[0].at.isoformat(), records[-1].at.isoformat()
        listed.append({"key": key, "first_at": first, "last_at": last, "sha256": sha256(data).hexdigest()})
    return listed


def test_predictions_are_of_the_time_and_typed(store: FolderStore, files: list[dict[str, Any]]) -> None:
    everything = frames.predictions(store, files, None, None).to_pandas()
    assert list(everything["prediction_id"]) == ["p1", "p2", "p25", "p30"]
    assert everything["version"].dtype == pd.Int32Dtype() and everything["version"].isna().sum() == 1
    assert str(everything["at"].dtype) == "datetime64[us, UTC]"
    assert list(everything["feature.floor"].dropna()) == ["2", "first"], "a feature of two types is text"
    assert everything["feature.size"].sum() == 251
    part = frames.predictions(store, files, datetime(2026, 3, 1, 2), DAY + timedelta(hours=30))
    assert list(part.arrow["prediction_id"].to_pylist()) == ["p2", "p25"]


def test_files_out_of_the_time_are_not_read_and_changed_ones_are_refused(
    store: FolderStore, files: list[dict[str, Any]]
) -> None:
    store.put(files[0]["key"], b"changed")
    assert len(frames.predictions(store, files, DAY + timedelta(days=1), None)) == 2
    with pytest.raises(ShipwayError, match=r"history/houses/2026-03-01/0\.parquet"):
        frames.predictions(store, files, None, None)


def test_labels_are_of_the_predictions_of_the_time(store: FolderStore) -> None:
    for day in (0, 1):
        at = [DAY + timedelta(days=day, hours=hour) for hour in (1, 13)]
        table = pa.table({"prediction_id": [f"p{day}a", f"p{day}b"], "label": ["yes", "no"], "predicted_at": at})
        sink = io.BytesIO()
        pq.write_table(table, sink)
        store.put(f"labels/houses/2026-03-0{day + 1}.parquet", sink.getvalue())
    found = frames.labels(store, "houses", DAY + timedelta(hours=12), DAY + timedelta(hours=30)).to_pandas()
    assert list(found["prediction_id"]) == ["p0b", "p1a"]
    assert found["label"].dtype == pd.StringDtype()


def test_of_nothing_there_is_an_empty_table(store: FolderStore) -> None:
    for frame in (frames.predictions(store, [], None, None), frames.labels(store, "houses", None, None)):
        assert (len(frame), frame.columns, len(frame.to_pandas())) == (0, [], 0)
    assert len(frames.versions({"versions": []}).to_pandas()) == 0


def test_versions_and_their_gates_are_rows() -> None:
    gates = [{"name": "floor", "passed": True, "figure": 0.8, "limit": 0.6, "reason": "auc 0.8"}]
    gates.append({"name": "size", "passed": False, "figure": None, "limit": None, "reason": "too large"})
    model = {
        "versions": [
            {"version": 2, "state": "rejected", "metrics": {"auc": 1, "log_loss": 0.3}, "gates": gates},
            {"version": 1, "state": "active", "promoted_at": "2026-03-01T00:00:00Z", "metrics": None, "gates": None},
        ]
    }
    versions = frames.versions(model).to_pandas().set_index("version")
    assert versions.loc[1, "promoted_at"] == pd.Timestamp(DAY)
    assert versions["promoted_at"].isna().to_dict() == {2: True, 1: False}
    assert versions["metric.auc"].dtype == float and versions.loc[2, "metric.auc"] == 1
    found = frames.evaluations(model).to_pandas()
    assert list(found["passed"]) == [True, False] and found["passed"].dtype == pd.BooleanDtype()
    assert list(found["name"]) == ["floor", "size"] and list(found["figure"].isna()) == [False, True]


def test_the_client_is_imported_without_pandas_and_says_where_it_is_missing() -> None:
    code = "import sys; import shipway.client; print([m for m in ('pandas', 'pyarrow') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_without_pandas_there_is_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(pa.table({"a": [1]}))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ShipwayError, match="pip install pandas"):
        frame.to_pandas()
    assert frame.arrow.to_pylist() == [{"a": 1}]
