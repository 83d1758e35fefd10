"""The bundle room: data to numbers, metrics, and bundles that come back whole or not at all."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.bundle.datasets import newest_time, read_window
from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows
from shipway.bundle.metrics import auc, score_metrics
from shipway.bundle.removing import delete_bundle
from shipway.bundle.store import bundle_key, read_bundle, read_servable, write_bundle
from shipway.bundle.windows import windows_of
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Signature, to_builtins
from shipway.contract.spec import ModelSpec, parse_spec
from shipway.contract.spec import to_builtins as spec_to_builtins
from shipway.runtime.objects import FolderStore, ObjectMissing
from shipway.runtime.settings import DataSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HERE = DataSettings(folders="/")
WINDOWS = Windows(T0, T0, T0, T0)


def spec(**changes: object) -> ModelSpec:
    raw: dict[str, object] = {
        "name": "m",
        "data": {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d", "gap": "1d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"n": {"type": "number"}, "c": {"type": "category"}, "b": {"type": "boolean"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    return parse_spec(raw | changes)


def table() -> pa.Table:
    return pa.table(
        {
            "at": pa.array([datetime(2026, 1, d, tzinfo=UTC) for d in (1, 2, 3, 4)]),
            "n": pa.array([1.5, None, math.inf, 4]),
            "c": pa.array(["b", "a", None, "b"]),
            "b": pa.array([True, None, False, True]),
            "y": pa.array([0, 1, None, 1]),
        }
    )


def test_a_table_and_a_row_become_the_same_numbers() -> None:
    signature = learn_signature(spec(), table())
    assert signature.features[1].categories == ["a", "b"]
    assert signature.classes == ["0", "1"]
    matrix = encode_table(signature, table())
    rows = table().select(["n", "c", "b"]).to_pylist()
    rows[2]["n"] = None  # JSON has no infinity; in a table it counts as missing
    np.testing.assert_array_equal(matrix, np.array(RowEncoder(signature).encode(rows)))


def test_more_categories_than_can_be_served_are_refused_before_the_training() -> None:
    users = pa.table({"at": [1] * 20_000, "c": [f"user-{i:020}" for i in range(20_000)], "y": [0, 1] * 10_000})
    with pytest.raises(InvalidField, match=r"features\.c: with its 20,000 categories .* keep the frequent ones"):
        learn_signature(spec(features={"c": {"type": "category"}}), users)


@given(values=st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "new"])), min_size=1, max_size=20))
def test_categories_are_coded_alike_in_training_and_serving(values: list[str | None]) -> None:
    signature = learn_signature(spec(features={"c": {"type": "category", "categories": ["b", "a"]}}), table())
    matrix = encode_table(signature, pa.table({"c": pa.array(values, pa.string())}))
    rows = RowEncoder(signature).encode([{"c": value} for value in values])
    np.testing.assert_array_equal(matrix, np.array(rows))


def test_rows_without_a_known_target_are_set_aside() -> None:
    signature = learn_signature(spec(), table())
    labels, there = encode_target(signature, table())
    assert there.tolist() == [True, True, False, True]
    assert labels[there].tolist() == [0, 1, 1]


def test_a_text_column_declared_a_number_is_named() -> None:
    signature = learn_signature(spec(), table())
    with pytest.raises(InvalidField, match="n: must be a column of numbers"):
        encode_table(signature, table().set_column(1, "n", pa.array(["x"] * 4)))


def test_a_binary_target_with_three_classes_is_refused() -> None:
    with pytest.raises(InvalidField, match="two classes"):
        learn_signature(spec(), pa.table({"n": [1, 2, 3], "c": ["a"] * 3, "b": [True] * 3, "y": [1, 2, 3]}))


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.timestamp("s"), pa.date32()])
def test_a_window_is_read_whatever_the_time_column(tmp_path: Path, kind: pa.DataType) -> None:
    days = [date(2026, 1, d) for d in range(1, 11)]
    data = pa.table(
        {"at": pa.array(days, pa.date32()).cast(pa.timestamp("s")).cast(pa.timestamp("us")), "n": range(10)}
    )
    data = data.set_column(0, "at", _cast(data.column("at"), kind))
    for name in ("c", "b", "y"):
        data = data.append_column(name, pa.nulls(10))
    pq.write_table(data.slice(0, 5), tmp_path / "1.parquet")
    (tmp_path / "sub").mkdir()
    pq.write_table(data.slice(5), tmp_path / "sub" / "2.parquet")
    model = spec(data={"source": f"folder:{tmp_path}", "time_column": "at", "train": "4d", "holdout": "2d"})
    store = FolderStore(tmp_path / "objects")
    until = newest_time(store, model, HERE)
    assert until.replace(microsecond=0) == datetime(2026, 1, 10, tzinfo=UTC)
    windows = windows_of(model, datetime(2026, 1, 9, tzinfo=UTC))
    assert read_window(store, model, windows.train_from, windows.train_to, HERE).column("n").to_pylist() == [2, 3, 4, 5]
    assert read_window(store, model, windows.holdout_from, windows.holdout_to, HERE).column("n").to_pylist() == [6, 7]


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp("us")).cast(kind)
    return column.cast(kind)


def test_data_from_the_object_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    pq.write_table(table(), tmp_path / "t.parquet")
    store.put("data/one.parquet", (tmp_path / "t.parquet").read_bytes())
    model = spec(data={"source": "objects:data/", "time_column": "at", "train": "4d", "holdout": "2d"})
    rows = read_window(store, model, datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC), HERE)
    assert rows.num_rows == 2


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    pq.write_table(table().drop_columns(["n"]), tmp_path / "t.parquet")
    model = spec(data={"source": f"folder:{tmp_path}", "time_column": "at", "train": "4d", "holdout": "2d"})
    with pytest.raises(InvalidField, match=r"n: is not a column of .*; it has at, c, b, y"):
        read_window(FolderStore(tmp_path / "o"), model, T0, datetime(2026, 1, 9, tzinfo=UTC), HERE)


def files() -> dict[str, bytes]:
    signature = learn_signature(spec(), table())
    import msgspec

    return {
        "model.txt": b"tree\n",
        "signature.json": msgspec.json.encode(to_builtins(signature)),
        "golden.parquet": encode_golden(np.array([[1.0, 0, math.nan]]), np.array([[0.5]])),
        "reference.parquet": b"x",
        "report.json": b"{}",
        "spec.json": msgspec.json.encode(spec_to_builtins(spec())),
    }


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    written = write_bundle(store, files(), model="m", library_versions={}, windows=WINDOWS)
    bundle = read_bundle(store, written.digest)
    assert bundle.model_text == b"tree\n"
    assert isinstance(bundle.signature, Signature)
    assert bundle.spec == spec()
    np.testing.assert_array_equal(bundle.golden_rows, [[1.0, 0, math.nan]])
    served = read_servable(store, written.digest)
    assert (served.model_text, served.signature, served.manifest) == (b"tree\n", bundle.signature, bundle.manifest)
    np.testing.assert_array_equal(served.golden_rows, bundle.golden_rows)
    np.testing.assert_array_equal(served.golden_scores, [[0.5]])
    assert written.total_bytes == sum(store.size(key) or 0 for key in store.list("bundles/"))
    delete_bundle(store, written.digest)
    assert store.list("") == []


@pytest.mark.parametrize("read", [read_bundle, read_servable])
@pytest.mark.parametrize("name", ["model.txt", "golden.parquet", "manifest.json"])
def test_a_damaged_bundle_is_refused(tmp_path: Path, name: str, read: Callable[[FolderStore, str], object]) -> None:
    store = FolderStore(tmp_path)
    digest = write_bundle(store, files(), model="m", library_versions={}, windows=WINDOWS).digest
    key = bundle_key(digest, name)
    data = bytearray(store.get(key, 10**6))
    data[-1] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(Permanent, match=r"damaged|hash differs"):
        read(store, digest)
    store.put(key, bytes(data) * 2)
    with pytest.raises(Permanent):
        read(store, digest)


def test_a_half_written_bundle_is_missing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    digest = write_bundle(store, files(), model="m", library_versions={}, windows=WINDOWS).digest
    store.delete(bundle_key(digest, "manifest.json"))
    with pytest.raises(ObjectMissing):
        read_bundle(store, digest)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[bool, int]]) -> None:
    positive = np.array([p for p, _ in pairs])
    scores = np.array([float(s) for _, s in pairs])
    ours = auc(positive, scores)
    wins = [float(a > b) + 0.5 * float(a == b) for a in scores[positive] for b in scores[~positive]]
    assert math.isnan(ours) if not wins else math.isclose(ours, float(np.mean(wins)), abs_tol=1e-12)


def test_multiclass_and_regression_metrics() -> None:
    three = Signature(features=[], output="multiclass", target="y", classes=["a", "b", "c"])
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    found = score_metrics(three, np.array([0.0, 1.0]), scores)
    assert found["accuracy"] == 0.5
    assert math.isclose(found["log_loss"], -(math.log(0.7) + math.log(0.1)) / 2)
    line = Signature(features=[], output="regression", target="y")
    assert score_metrics(line, np.array([1.0, 3.0]), np.array([[2.0], [1.0]])) == {"rmse": math.sqrt(2.5), "mae": 1.5}
