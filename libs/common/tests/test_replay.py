"""Logged predictions replayed against a version: what differs, and how good both were."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows
from shipway.bundle.replay import NothingToReplay, Wanted, replay
from shipway.bundle.replaying import Replayed, comparison, in_order, most
from shipway.bundle.store import write_bundle
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.history import history_key, labels_key
from shipway.contract.signature import Signature, to_builtins
from shipway.contract.spec import ModelSpec, parse_spec
from shipway.contract.spec import to_builtins as spec_to_builtins
from shipway.runtime.objects import FolderStore
from shipway.runtime.settings import DataSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TIME = pa.timestamp("us", "UTC")
ALL = Wanted("m", T0, T0 + 5 * DAY, 10_000)


def spec(**changes: Any) -> ModelSpec:
    raw: dict[str, Any] = {
        "name": "m",
        "data": {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"n": {"type": "number"}, "c": {"type": "category"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
    return parse_spec(raw | changes)


def data(n: int = 400, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    number, colour = rng.normal(size=n), rng.choice(["red", "blue"], n)
    truth = number + (colour == "red") > 0.5
    return pa.table({"n": number, "c": pa.array(colour), "y": pa.array(np.where(truth, "true", "false"))})


def put_version(
    store: FolderStore, model: ModelSpec, rounds: int, table: pa.Table | None = None
) -> tuple[str, Signature, lightgbm.Booster]:
    table = data() if table is None else table
    signature = learn_signature(model, table)
    rows, (labels, _) = encode_table(signature, table), encode_target(signature, table)
    params = {"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(params, lightgbm.Dataset(rows, labels), rounds)
    golden = encode_golden(rows[:8], booster.predict(rows[:8]).reshape(-1, 1))
    files = {
        "model.txt": booster.model_to_string().encode(),
        "signature.json": msgspec.json.encode(to_builtins(signature)),
        "golden.parquet": golden,
        "reference.parquet": golden,
        "report.json": b"{}",
        "spec.json": msgspec.json.encode(spec_to_builtins(model)),
    }
    written = write_bundle(store, files, model="m", library_versions={}, windows=Windows(T0, T0, T0, T0))
    return written.digest, signature, booster


def put_history(
    store: FolderStore,
    signature: Signature,
    booster: lightgbm.Booster,
    table: pa.Table | None = None,
    **changes: pa.Array,
) -> None:
    """Two days of predictions by version 1, every second one with its label."""
    table = data(seed=2) if table is None else table
    scores = booster.predict(encode_table(signature, table))
    for day in range(2):
        part = slice(200 * day, 200 * day + 200)
        ids = [f"p{day}-{i}" for i in range(200)]
        at = [T0 + day * DAY + timedelta(minutes=i) for i in range(200)]
        columns: dict[str, Any] = {
            "prediction_id": ids,
            "at": pa.array(at, TIME),
            "version": pa.array([1] * 200, pa.int32()),
            "role": ["champion"] * 200,
            "instance": ["i"] * 200,
            "outcome": ["answered"] * 200,
            "latency_us": pa.array([2000] * 200, pa.int64()),
            **{f"feature.{f.name}": table[f.name][part.start : part.stop] for f in signature.features},
            "scores": pa.array([[score] for score in scores[part]]),
        }
        labels = {"prediction_id": ids[::2], "label": table["y"][part.start : part.stop].to_pylist()[::2]}
        labels["received_at"] = pa.array(at[::2], TIME)
        put(store, history_key("m", at[0].date(), "a"), {k: v for k, v in (columns | changes).items() if v is not None})
        put(store, labels_key("m", at[0].date()), labels)


def put(store: FolderStore, key: str, columns: dict[str, Any]) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    store.put(key, sink.getvalue())


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def test_the_same_version_says_the_same_again(store: FolderStore) -> None:
    digest, signature, booster = put_version(store, spec(), 20)
    put_history(store, signature, booster)
    found = replay(store, ALL, digest, {1: digest}, DataSettings())
    assert (found["rows"], found["answered_by"], found["left_out"]) == (400, {"1": 400}, {})
    assert found["scores"]["max_absolute"] < 1e-12 and found["decisions"]["changed"] == 0
    assert found["quality"]["labelled"] == 200 and found["quality"]["logged"] == found["quality"]["replayed"]
    assert found["quality"]["logged"]["auc"] > 0.9
    assert found["latency_ms"]["logged"]["p50"] == pytest.approx(2.0) and found["latency_ms"]["replayed"]["p50"] > 0
    json.dumps(found)


def test_another_version_is_held_beside_what_was_answered(store: FolderStore) -> None:
    first, signature, booster = put_version(store, spec(), 40)
    second, _, weak = put_version(store, spec(), 1)
    put_history(store, signature, booster)
    wanted = Wanted("m", T0 + DAY, T0 + 5 * DAY, 50)
    found = replay(store, wanted, second, {1: first, 2: second}, DataSettings())
    assert found["rows"] == 50 and found["to"] > found["from"] >= (T0 + DAY).isoformat()
    assert found["quality"]["labelled"] == 25
    assert found["quality"]["replayed"]["log_loss"] > found["quality"]["logged"]["log_loss"]
    rows = encode_table(signature, data(seed=2).slice(350))
    moved = np.abs(weak.predict(rows) - booster.predict(rows))
    assert found["scores"]["max_absolute"] == pytest.approx(moved.max())
    assert found["decisions"]["changed"] == sum(one["rows"] for one in found["decisions"]["moves"])


def test_what_can_not_be_asked_again_is_said(store: FolderStore) -> None:
    digest, signature, booster = put_version(store, spec(), 5)
    with pytest.raises(NothingToReplay, match="no prediction of m"):
        replay(store, ALL, digest, {1: digest}, DataSettings())
    nothing = {"feature.n": pa.nulls(200, pa.float64()), "feature.c": pa.nulls(200, pa.string())}
    put_history(store, signature, booster, **nothing)
    with pytest.raises(NothingToReplay, match="400 features not kept"):
        replay(store, ALL, digest, {1: digest}, DataSettings())
    put_history(store, signature, booster)
    with pytest.raises(NothingToReplay, match="version 1, whose scores are not comparable"):
        replay(store, ALL, digest, {2: digest}, DataSettings())
    put_history(store, signature, booster, **{"feature.n": None})
    with pytest.raises(InvalidField, match=r"features\.n: was not logged"):
        replay(store, ALL, digest, {1: digest}, DataSettings())
    hidden, _, _ = put_version(store, spec(prediction_log={"redact": ["c"]}), 5)
    with pytest.raises(InvalidField, match=r"features\.c: is redacted"):
        replay(store, ALL, hidden, {1: hidden}, DataSettings())
    with pytest.raises(Permanent, match="is of model 'm'"):
        replay(store, Wanted("other", T0, T0 + DAY, 10), digest, {1: digest}, DataSettings())


def test_scores_that_are_no_numbers_are_left_out_and_counted(store: FolderStore) -> None:
    digest, signature, booster = put_version(store, spec(), 20)
    put_history(store, signature, booster, scores=pa.array([[None], [float("nan")], *([[0.5]] * 198)]))
    found = replay(store, ALL, digest, {1: digest}, DataSettings())
    assert (found["rows"], found["left_out"]) == (396, {"scores not kept": 4})
    assert np.isfinite(list(found["scores"].values())).all()


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 99), max_size=40))
def test_counts_are_bounded_and_none_is_lost(counts: dict[str, int]) -> None:
    found = most(counts)
    assert len(found) <= 20 and sum(found.values()) == sum(counts.values())
    assert found == counts or min(count for name, count in found.items() if name != "others") >= max(
        (count for name, count in counts.items() if name not in found), default=0
    )


def signature_of(classes: list[str], output: str = "multiclass") -> Signature:
    return Signature(features=[], output=output, target="y", classes=classes)  # type: ignore[arg-type]


@given(order=st.permutations(["a", "b", "c"]), row=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_scores_are_put_in_the_order_of_the_versions_own_classes(order: list[str], row: list[float]) -> None:
    ours = signature_of(["a", "b", "c"])
    found = in_order(ours, signature_of(order), np.array([row]))
    assert found is not None
    assert dict(zip(ours.classes, found[0], strict=True)) == dict(zip(order, row, strict=True))


def test_scores_of_another_target_are_not_comparable() -> None:
    ours, scores = signature_of(["a", "b"], "binary"), np.array([[0.2]])
    turned = in_order(ours, signature_of(["b", "a"], "binary"), scores)
    assert turned is not None and turned[0, 0] == pytest.approx(0.8)
    assert in_order(ours, signature_of(["a", "x"], "binary"), scores) is None
    assert in_order(ours, signature_of([], "regression"), scores) is None


def test_a_ranking_is_compared_by_the_queries_whose_rows_all_have_a_label(store: FolderStore) -> None:
    raw: dict[str, Any] = {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d"}
    ranking = spec(
        target={"column": "y", "kind": "ranking"}, data=raw | {"query_column": "q"}, features={"n": {"type": "number"}}
    )
    table = data().select(["n"]).append_column("y", pa.array((data()["n"].to_numpy() > 0).astype(float)))
    digest, signature, booster = put_version(store, ranking, 5, table)
    names = [None if n >= 192 else f"q{n // 4}/{n % 4}" for n in range(200)]
    of_queries = {"client_id": pa.array(names), "trace_id": pa.array([f"{n // 4:032x}" for n in range(200)])}
    put_history(store, signature, booster, table, **of_queries)
    # The rows of three queries have their labels, of a fourth one half, and the row of none.
    ids, truth = [f"p0-{n}" for n in (*range(14), 199)], [1.0, 0.0, 0.0, 1.0] * 3 + [1.0, 0.0, 1.0]
    put(
        store,
        labels_key("m", T0.date()),
        {"prediction_id": ids, "label": truth, "received_at": pa.array([T0] * 15, TIME)},
    )
    found = replay(store, Wanted("m", T0, T0 + DAY, 200), digest, {1: digest}, DataSettings())["quality"]
    assert found["labelled"] == 12 and set(found["logged"]) == {"ndcg"}
    assert found["replayed"] == pytest.approx(found["logged"])


def test_a_regression_has_no_decisions() -> None:
    nothing = np.empty(0)
    one = np.array([[1.0], [2.0]])
    rows = Replayed(one, one + 0.5, np.array([np.nan, 2.0]), np.array([1, 2]), nothing, nothing)
    found = comparison(signature_of([], "regression"), rows)
    assert "decisions" not in found and found["latency_ms"] == {"logged": None, "replayed": None}
    assert found["quality"]["logged"] == {"rmse": 0.0, "mae": 0.0}
    assert found["quality"]["replayed"] == {"rmse": 0.5, "mae": 0.5}
