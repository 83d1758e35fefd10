"""A model trained elsewhere becomes a bundle, or is refused with the field that does not fit."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.bundle.manifest import sha256
from shipway.bundle.store import Bundle, read_bundle
from shipway.bundle.uploads import key_of_upload
from shipway.contract.errors import Permanent
from shipway.contract.spec import parse_spec, to_builtins
from shipway.runtime.objects import FolderStore
from shipway.trainer.child import Hands
from shipway.trainer.kinds import STAGES_OF, told_to
from shipway.trainer.stages import Done

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2000
COLOURS = ["red", "green", "blue"]  # in an order that no sorting gives
SIGNATURE: dict[str, Any] = {
    "features": [{"name": "c", "type": "category", "categories": COLOURS}, {"name": "n", "type": "number"}],
    "output": "binary",
    "target": "y",
    "classes": ["false", "true"],
}
RawSpec = Callable[..., dict[str, Any]]


def table() -> pa.Table:
    rng = np.random.default_rng(7)
    n, c = rng.normal(size=ROWS), rng.integers(0, 3, ROWS)
    y = n + (c == 0) + rng.normal(size=ROWS) > 0.5
    at = [T0 + timedelta(minutes=30 * i) for i in range(ROWS)]
    return pa.table({"at": at, "n": n, "c": [COLOURS[code] for code in c], "y": y})


def elsewhere(**params: Any) -> bytes:
    """A model that was trained without Shipway: its columns are c, n, in the order of SIGNATURE."""
    rows = table()
    features = np.column_stack([[COLOURS.index(c) for c in rows["c"].to_pylist()], rows["n"].to_numpy()])
    data = lightgbm.Dataset(
        features, rows["y"].to_numpy().astype(float), feature_name=["c", "n"], categorical_feature=[0]
    )
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1} | params, data, 20)
    return str(booster.model_to_string()).encode()


MODEL = elsewhere()


def golden(scores: Callable[[Any], Any] = lambda given: given) -> bytes:
    rows = table().slice(0, 40)
    features = np.column_stack([[COLOURS.index(c) for c in rows["c"].to_pylist()], rows["n"].to_numpy()])
    given = np.asarray(lightgbm.Booster(model_str=MODEL.decode()).predict(features))
    sink = io.BytesIO()
    pq.write_table(rows.append_column("score", pa.array(scores(given))), sink)
    return sink.getvalue()


class Case:
    """A declared model with data, and an object store that files are imported from."""

    def __init__(self, folder: Path, raw_spec: RawSpec) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        self.store = FolderStore(folder / "objects")
        data = {"source": f"folder:{folder / 'data'}", "time_column": "at", "train": "30d", "holdout": "5d"}
        self.raw = raw_spec(data=data)
        pq.write_table(table(), folder / "data" / "rows.parquet")

    def adopt(self, model: bytes = MODEL, signature: Any = SIGNATURE, **more: bytes) -> Bundle:
        """The bundle of an import of these files; ``more`` by name, such as golden=..."""
        named = {"model.txt": model, "signature.json": msgspec.json.encode(signature)}
        named |= {f"{name}.parquet": data for name, data in more.items()}
        files = {name: sha256(data) for name, data in named.items()}
        for name, data in named.items():
            self.store.put(key_of_upload(files[name]), data)
        return self.run(files)

    def run(self, files: dict[str, str]) -> Bundle:
        hands = Hands()
        order: dict[str, Any] = {
            "do": "survey",
            "kind": "import",
            "stage": "get-data",
            "request_id": "r",
            "earlier": None,
            "python": "",
            "spec": to_builtins(parse_spec(self.raw)),
            "until": None,
            "asked_at": T0.isoformat(),
            "objects": {"url": f"file://{self.folder / 'objects'}"},
            "data": {"folders": "/"},
            "max_threads": 1,
        }
        windows = hands(order, lambda _: None)
        order |= {"do": "stage", "before": []}
        for stage in STAGES_OF["import"][:-1]:
            told = windows if stage == "get-data" else told_to("import", stage, {"files": files})
            gave = hands(order | {"stage": stage, "told": told}, lambda _: None)
            order["before"].append(msgspec.to_builtins(Done(stage, gave["output"], gave["result"])))
        return read_bundle(self.store, order["before"][-1]["result"]["digest"])


@pytest.fixture
def case(tmp_path: Path, raw_spec: RawSpec) -> Case:
    return Case(tmp_path, raw_spec)


def test_a_model_from_elsewhere_is_a_bundle_like_any_other(case: Case) -> None:
    bundle = case.adopt(golden=golden())
    assert bundle.model_text == MODEL
    assert [(f.name, f.categories) for f in bundle.signature.features] == [("c", COLOURS), ("n", [])]
    booster = lightgbm.Booster(model_str=MODEL.decode())
    np.testing.assert_array_equal(np.asarray(booster.predict(bundle.golden_rows)), bundle.golden_scores[:, 0])
    report = msgspec.json.decode(bundle.files["report.json"])
    assert (report["rounds"], report["params"]) == (20, {})
    assert report["validation_metrics"]["auc"] > 0.7
    assert sum(report["label"]["shares"].values()) == pytest.approx(1)


def test_what_clients_may_leave_out_is_the_model_files_word(case: Case) -> None:
    case.raw["features"]["n"] = {"type": "number", "nullable": False}
    case.raw["features"]["c"] = {"type": "category", "optional": True, "unseen": "error"}
    colour, number = case.adopt().signature.features
    assert (colour.optional, colour.unseen, number.nullable) == (True, "error", False)


def test_a_ranking_from_elsewhere_is_measured_by_its_queries(case: Case) -> None:
    rows = table().append_column("q", pa.array(np.arange(ROWS) // 10))
    pq.write_table(rows, case.folder / "data" / "rows.parquet")
    case.raw |= {"target": {"column": "y", "kind": "ranking"}, "data": case.raw["data"] | {"query_column": "q"}}
    signature = changed(output="ranking", classes=[])
    with pytest.raises(Permanent, match="was trained for 'binary'; a ranking target wants lambdarank, rank_xendcg"):
        case.adopt(signature=signature)
    features = np.column_stack([[COLOURS.index(c) for c in rows["c"].to_pylist()], rows["n"].to_numpy()])
    data = lightgbm.Dataset(
        features, rows["y"].to_numpy(), group=[10] * (ROWS // 10), feature_name=["c", "n"], categorical_feature=[0]
    )
    given = lightgbm.train({"objective": "rank_xendcg", "verbosity": -1, "num_threads": 1}, data, 20)
    bundle = case.adopt(str(given.model_to_string()).encode(), signature)
    assert bundle.golden_scores.min() < 0, "raw scores are no probabilities"
    assert msgspec.json.decode(bundle.files["report.json"])["validation_metrics"]["ndcg"] > 0.8


def changed(**changes: Any) -> Any:
    return SIGNATURE | changes


def features(*found: Any) -> Any:
    return changed(features=list(found))


COLOUR, NUMBER = SIGNATURE["features"]


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (changed(target="z"), r"signature.output: predicts 'z' \(binary\); the model file's target is 'y'"),
        (changed(output="regression", classes=[]), "signature.output: predicts 'y' .regression."),
        (changed(classes=["no", "yes"]), "signature.classes: no row of the data has one of them as 'y'"),
        (features(COLOUR, NUMBER, {"name": "x", "type": "number"}), "signature.features.x: is not a feature"),
        (features(COLOUR), "features.n: is not in the signature"),
        (features(NUMBER, COLOUR), r"signature.features\[0\]: is 'n', but the model's column 0 is 'c'"),
        (features({"name": "c", "type": "category"}, NUMBER), "signature.features.c.categories: are needed"),
        (features(COLOUR, {"name": "n", "type": "boolean"}), "signature.features.n.type: is boolean; the model file"),
        (features(COLOUR, COLOUR), "each name once"),
        ([], "signature"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_with_its_field(case: Case, signature: Any, words: str) -> None:
    with pytest.raises(Permanent, match=words):
        case.adopt(signature=signature)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (MODEL[: len(MODEL) // 2], "truncated|tree_sizes"),
        (b"import os", "does not begin like a LightGBM text model"),
        (MODEL.replace(b"max_feature_idx=1", b"max_feature_idx=9"), "max_feature_idx: is '9'"),
        (elsewhere(objective="regression"), "model.txt: was trained for 'regression'; a binary target wants"),
        (
            MODEL.replace(b"pandas_categorical:null", b'pandas_categorical:[["blue", "green", "red"]]'),
            "signature.features.c.categories: are not those that the model was trained with",
        ),
    ],
)
def test_a_model_that_is_none_or_another_is_refused_with_the_reason(case: Case, model: bytes, words: str) -> None:
    with pytest.raises(Permanent, match=words):
        case.adopt(model)


def test_golden_rows_that_the_model_does_not_give_are_refused(case: Case) -> None:
    with pytest.raises(Permanent, match="golden row 3 gave"):
        case.adopt(golden=golden(lambda given: given + (np.arange(len(given)) == 3)))
    with pytest.raises(Permanent, match=r"golden\.parquet: has no column 'score'"):
        sink = io.BytesIO()
        pq.write_table(table().slice(0, 5), sink)
        case.adopt(golden=sink.getvalue())
    with pytest.raises(Permanent, match=r"golden\.parquet"):
        case.adopt(golden=b"no parquet")


def test_files_that_were_exchanged_after_the_command_are_refused(case: Case) -> None:
    files = {"model.txt": sha256(MODEL), "signature.json": sha256(b"{}")}
    with pytest.raises(Permanent, match=r"signature\.json: is not in the object store as imports/"):
        case.run(files)
    case.store.put(key_of_upload(files["signature.json"]), msgspec.json.encode(SIGNATURE))
    with pytest.raises(Permanent, match=r"signature\.json: is not the file that was to be imported"):
        case.run(files)
