"""A whole training on small data: what the bundle holds, and how data that can't be trained on is refused."""

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

from shipway.bundle.modelfile import check_model_text
from shipway.bundle.ranking import MAX_QUERY_ROWS
from shipway.bundle.referencedays import read_days
from shipway.bundle.store import Bundle, read_bundle
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.events import TrainingCompleted
from shipway.contract.history import history_key, labels_key
from shipway.contract.lookups import Lookup
from shipway.contract.spec import STAGES, parse_spec, to_builtins
from shipway.runtime.objects import FolderStore
from shipway.trainer.checks import QueryFigures, problems_of_queries
from shipway.trainer.child import Hands
from shipway.trainer.stages import Done

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2000
UNTIL = T0 + timedelta(minutes=30 * ROWS)
ASKED_AT = UNTIL + timedelta(days=2)
RawSpec = Callable[..., dict[str, Any]]


def data(**columns: Any) -> pa.Table:
    rng = np.random.default_rng(7)
    n = rng.normal(size=ROWS)
    c = rng.choice(["red", "green", "blue"], ROWS)
    y = (n + (c == "red") + rng.normal(size=ROWS) > 0.5).astype(object)
    y[::50] = None
    table = {
        "at": pa.array([T0 + timedelta(minutes=30 * i) for i in range(ROWS)]),
        "n": pa.array(np.where(rng.random(ROWS) < 0.1, np.nan, n), from_pandas=True),
        "c": pa.array(c),
        "y": pa.array(y, pa.bool_()),
    }
    return pa.table(table | columns)


class Case:
    """A folder of data, an object store, and a training on them."""

    def __init__(self, folder: Path, raw_spec: RawSpec) -> None:
        self.folder = folder / "data"
        self.folder.mkdir()
        self.store = FolderStore(folder / "objects")
        self.raw_spec = raw_spec
        self.told: list[tuple[str, float]] = []
        self.python = ""
        pq.write_table(data(), self.folder / "rows.parquet")

    def train(self, until: datetime | None = UNTIL, **changes: Any) -> dict[str, Any]:
        windows = {"source": f"folder:{self.folder}", "time_column": "at", "train": "30d", "holdout": "5d"}
        raw = self.raw_spec(**({"data": windows} | changes))
        return self.run(to_builtins(parse_spec(raw)), until)

    def ranking(self, **columns: Any) -> dict[str, Any]:
        """What a spec says of the data when it is searches of ten rows each, with relevances from 0 to 3."""
        rng, search = np.random.default_rng(5), np.arange(ROWS) // 10
        n = rng.normal(size=ROWS)
        found: dict[str, Any] = {
            "at": pa.array([T0 + timedelta(minutes=300 * int(one)) for one in search]),
            "n": n,
            "q": search,
            "y": np.clip(np.round(n + 0.7 * rng.normal(size=ROWS) + 1), 0, 3),
            "half": search % 2 == 0,
        }
        pq.write_table(pa.table(found | columns), self.folder / "rows.parquet")
        windows = {"source": f"folder:{self.folder}", "time_column": "at", "train": "30d", "holdout": "5d"}
        target, features = {"column": "y", "kind": "ranking"}, {"n": {"type": "number"}}
        return {"data": windows | {"query_column": "q"}, "target": target, "features": features}

    def run(
        self, spec: dict[str, Any], until: datetime | None, hands: Callable[[], Hands] | None = None
    ) -> dict[str, Any]:
        """Every stage by the same hands, or each by ``hands()``; gives what TrainingCompleted tells."""
        one = Hands()
        order: dict[str, Any] = {
            "do": "survey",
            "stage": "get-data",
            "spec": spec,
            "until": until.isoformat() if until else None,
            "asked_at": ASKED_AT.isoformat(),
            "objects": {"url": f"file://{self.folder.parent / 'objects'}"},
            "data": {"folders": "/"},
            "max_threads": 1,
            "kind": "training",
            "request_id": "r",
            "earlier": None,
            "python": self.python,
        }
        order |= {"do": "stage", "told": one(order, lambda _: None), "before": []}
        results: dict[str, Any] = {}
        for stage in STAGES[:-1]:
            told = lambda news, stage=stage: self.told.append((stage, news["fraction"]))  # noqa: E731
            gave = (hands() if hands else one)(order | {"stage": stage}, told)
            results[stage] = gave["result"]
            order["before"].append(msgspec.to_builtins(Done(stage, gave["output"], gave["result"])))
        return {
            "training_rows": results["preprocess"]["rows"],
            "set_aside_rows": results["clean"]["set_aside"],
            "metrics": results["evaluate"]["metrics"],
            "windows": results["get-data"]["windows"],
            **results["build"],
        }


@pytest.fixture
def case(tmp_path: Path, raw_spec: RawSpec) -> Case:
    return Case(tmp_path, raw_spec)


def scores(bundle: Bundle, rows: Any) -> Any:
    return lightgbm.Booster(model_str=bundle.model_text.decode()).predict(rows).reshape(len(rows), -1)


def test_a_bundle_holds_a_model_that_gives_its_golden_scores(case: Case) -> None:
    result = case.train()
    bundle = read_bundle(case.store, result["digest"])
    np.testing.assert_array_equal(scores(bundle, bundle.golden_rows), bundle.golden_scores)
    assert len(bundle.golden_rows) == 64
    assert np.isnan(bundle.golden_rows).any()
    assert bundle.signature.features[1].categories == ["blue", "green", "red"]
    assert bundle.manifest.train_to <= bundle.manifest.holdout_from
    assert set(bundle.manifest.library_versions) == {"lightgbm", "numpy", "python"}
    assert b"pandas_categorical:null" in bundle.model_text


def test_a_version_carries_what_it_looks_up(case: Case) -> None:
    rule = {"table": "people", "key": "person", "features": ["n"], "max_age": "1d"}
    bundle = read_bundle(case.store, case.train(lookups=[rule])["digest"])
    assert bundle.signature.lookups == [Lookup(table="people", key="person", features=["n"], max_age_s=86400)]


def test_the_report_and_the_event_agree(case: Case) -> None:
    result = case.train()
    report = msgspec.json.decode(read_bundle(case.store, result["digest"]).files["report.json"])
    assert result["metrics"]["auc"] > 0.7
    assert result["training_rows"] == report["rows"] == 1411
    assert result["set_aside_rows"] == {"no target": 29}
    assert report["missing_share"]["n"] == pytest.approx(0.1, abs=0.03)
    assert sum(report["label"]["shares"].values()) == pytest.approx(1)
    assert next(iter(report["importance_gain"])) == "n"
    identity = {"model": "m", "request_id": "r", "version": 1, "duration_s": 1.0}
    told = {k: v for k, v in result.items() if k != "windows"}
    assert msgspec.convert(identity | told | result["windows"], TrainingCompleted).train_to < UNTIL


def test_the_same_rows_give_the_same_model(case: Case) -> None:
    first, second = (read_bundle(case.store, case.train()["digest"]) for _ in range(2))
    assert first.model_text == second.model_text
    assert first.files["golden.parquet"] == second.files["golden.parquet"]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "ranking"])
def test_stages_apart_give_the_model_that_stages_in_one_process_give(case: Case, kind: str) -> None:
    target = {"binary": {"column": "y", "kind": "binary"}, "multiclass": {"column": "c", "kind": "multiclass"}}
    windows = {"source": f"folder:{case.folder}", "time_column": "at", "train": "30d", "holdout": "5d"}
    features = {"n": {"type": "number"}} | ({"c": {"type": "category"}} if kind == "binary" else {})
    if kind == "regression":
        features = {"c": {"type": "category"}}
    changes = {"data": windows, "target": target.get(kind, {"column": "n", "kind": kind}), "features": features}
    if kind == "ranking":
        changes |= case.ranking()
    spec = to_builtins(parse_spec(case.raw_spec(**changes)))
    one, apart = (read_bundle(case.store, case.run(spec, UNTIL, hands)["digest"]) for hands in (None, Hands))
    names = ("model.txt", "signature.json", "golden.parquet", "reference.parquet", "report.json")
    assert [name for name in names if one.files[name] != apart.files[name]] == []


def test_an_output_that_is_gone_or_changed_is_said_to_be_lost(case: Case) -> None:
    case.train()
    hands, spec = Hands(), to_builtins(parse_spec(case.raw_spec()))
    order: dict[str, Any] = {"do": "stage", "stage": "clean", "spec": spec, "kind": "training", "request_id": "r"}
    order |= {"objects": {"url": f"file://{case.folder.parent / 'objects'}"}, "data": {}, "told": {}, "max_threads": 1}
    order |= {"earlier": None, "python": ""}
    (key,) = [key for key in case.store.list("stages/m/") if case.store.get(key, 10**9).count(b"shipway") == 0][:1]
    digest = key.rpartition("/")[2]
    spoils: tuple[Callable[[], None], ...] = (lambda: case.store.put(key, b"other"), lambda: case.store.delete(key))
    for spoil in spoils:
        spoil()
        before = [{"stage": "get-data", "output": digest, "result": {}}]
        assert hands(order | {"before": before}, lambda _: None) == {"lost": "get-data"}


def test_own_python_chooses_rows_in_the_stages(case: Case) -> None:
    case.python = "own_code_for_tests"
    found = case.train(
        clean={"python": "own_code_for_tests:positive"}, preprocess={"python": "own_code_for_tests:balanced"}
    )
    assert found["set_aside_rows"]["by clean.python"] > 400
    assert found["training_rows"] > 700
    with pytest.raises(Permanent, match=r"preprocess\.python: changes the feature 'n'"):
        case.train(preprocess={"python": "own_code_for_tests:scaled"})
    case.python = ""
    with pytest.raises(Permanent, match="'own_code_for_tests' is not in SHIPWAY_TRAINER__WORKER__PYTHON"):
        case.train(clean={"python": "own_code_for_tests:positive"})


def test_progress_goes_from_start_to_end(case: Case) -> None:
    case.train()
    fractions = [fraction for _, fraction in case.told]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert list(dict.fromkeys(stage for stage, _ in case.told)) == list(STAGES[:-1])


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_other_kinds_of_target(case: Case, kind: str) -> None:
    column = {"regression": "n", "multiclass": "c"}[kind]
    features = {"regression": {"c": {"type": "category"}}, "multiclass": {"n": {"type": "number"}}}[kind]
    bundle = read_bundle(case.store, case.train(target={"column": column, "kind": kind}, features=features)["digest"])
    assert bundle.golden_scores.shape[1] == {"regression": 1, "multiclass": 3}[kind]
    np.testing.assert_array_equal(scores(bundle, bundle.golden_rows), bundle.golden_scores)


def test_the_reference_knows_of_which_days_its_rows_are(case: Case) -> None:
    found = case.train()
    data = read_bundle(case.store, found["digest"]).files["reference.parquet"]
    rows = pq.read_metadata(pa.BufferReader(data)).num_rows
    days = read_days(data, rows)
    assert len(days) in (30, 31) and sum(days) == rows
    assert max(days) <= 48, "a row in half an hour"


def test_a_ranking_learns_an_order_and_is_stopped_by_whole_queries(case: Case) -> None:
    result = case.train(**case.ranking(), gates={"slices": ["half"]})
    bundle = read_bundle(case.store, result["digest"])
    report = msgspec.json.decode(bundle.files["report.json"])
    assert bundle.signature.output == "ranking"
    assert check_model_text(bundle.model_text, features=1, outputs=1).objective == "lambdarank"
    np.testing.assert_array_equal(scores(bundle, bundle.golden_rows), bundle.golden_scores)
    assert result["metrics"]["ndcg"] > 0.85
    assert report["validation_rows"] == 220  # 15 % of 1,440 is 216
    assert (report["label"]["mean"], result["set_aside_rows"]) == (pytest.approx(1, abs=0.2), {"no target": 0})


def test_rows_of_a_ranking_without_a_relevance_or_a_query_are_set_aside(case: Case) -> None:
    relevance = np.tile([0.0, 1, 2, 3, 4, 1.5, -1, 31, np.nan, 2], ROWS // 10)
    search = pa.array([None if i % 10 == 9 else i // 10 for i in range(ROWS)])
    found = case.train(**case.ranking(y=pa.array(relevance, from_pandas=True), q=search))
    assert found["set_aside_rows"] == {"no target": 144, "of no relevance from 0 to 30": 432, "without q": 144}


@pytest.mark.parametrize(
    ("columns", "changes", "words"),
    [
        ({"y": np.repeat([0, 2], ROWS // 2)}, {}, r"target\.column: 'y' is the same in all rows of each of the 144"),
        ({"q": np.arange(ROWS)}, {}, r"\(1,440 of them have one row\), so there is no order to learn"),
        ({}, {"gates": {"slices": ["n"]}}, r"gates\.slices: 'n' differs within a query"),
        ({"q": np.full(ROWS, 0.5)}, {}, r"data\.query_column: must be a column of text, whole numbers"),
        ({"q": np.zeros(ROWS)}, {"training": {"validation": 0.0}}, ""),
    ],
)
def test_queries_that_tell_nothing_are_refused(
    case: Case, columns: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    raw = case.ranking(**columns) | changes
    if not words:  # one query of all rows can be learnt from
        assert case.train(**raw)["metrics"] == {}
        return
    with pytest.raises(Permanent, match=words):
        case.train(**raw)


def test_a_query_of_more_rows_than_lightgbm_ranks_is_refused(case: Case) -> None:
    spec = parse_spec(case.raw_spec(**case.ranking()))
    (problem,) = problems_of_queries(spec, QueryFigures(2, 2, 0, MAX_QUERY_ROWS + 1))
    assert problem.field == "data.query_column" and "in 10,001 rows" in problem.problem
    assert problems_of_queries(spec, QueryFigures(2, 1, 0, MAX_QUERY_ROWS)) == []


def test_without_an_end_all_data_is_used(case: Case) -> None:
    assert case.train(until=None)["windows"]["holdout_to"] > (UNTIL - timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"until": T0 - timedelta(days=100)}, "data: holds no rows in the training window, 30d from 2025-08-"),
        ({"until": datetime.min.replace(tzinfo=UTC)}, "until: .* leaves no room"),
        (
            {"until": T0 + timedelta(days=6)},
            "training.min_rows: .* holds 47 rows .* .1 no target set aside., fewer",
        ),
        ({"features": {"x": {"type": "number"}}}, "x: is not a column of .*; it has at, n, c, y"),
        ({"features": {"c": {"type": "number"}}}, "c: must be a column of numbers, but is string"),
        ({"target": {"column": "c", "kind": "binary"}, "features": {"n": {"type": "number"}}}, "two classes"),
        (
            {"target": {"column": "c", "kind": "multiclass", "classes": ["red", "pink"]}},
            "target.column: 'c' is 'red' in all rows",
        ),
        ({"training": {"params": {"is_unbalance": True, "scale_pos_weight": 2.0}}}, "LightGBM: Cannot set"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_in_words(case: Case, changes: dict[str, Any], problem: str) -> None:
    if "target" in changes and "features" not in changes:
        changes["features"] = {"n": {"type": "number"}}
    with pytest.raises(Permanent, match=problem):
        case.train(**changes)


def put_history(store: FolderStore, rows: pa.Table, received_at: datetime) -> None:
    """The rows as a model's predictions, and the labels of those that have a target, a file a day each."""
    days = np.array([at.date() for at in rows["at"].to_pylist()])
    for day in np.unique(days):
        part = rows.filter(pa.array(days == day))
        ids = pa.array([f"{day}-{i}" for i in range(len(part))])
        alike = {"version": pa.array([1] * len(part), pa.int32()), "role": pa.array(["champion"] * len(part))}
        alike |= {"instance": pa.array(["i"] * len(part)), "outcome": pa.array(["answered"] * len(part))}
        logged = {"prediction_id": ids, "at": part["at"].cast(pa.timestamp("us", "UTC")), **alike}
        features = {f"feature.{name}": part[name] for name in ("n", "c")}
        labels = pa.table({"prediction_id": ids, "label": part["y"].cast(pa.string())})
        labels = labels.append_column("received_at", pa.array([received_at] * len(part), pa.timestamp("us", "UTC")))
        known = labels.filter(labels["label"].is_valid())
        for key, table in ((history_key("m", day, "0"), pa.table(logged | features)), (labels_key("m", day), known)):
            sink = io.BytesIO()
            pq.write_table(table, sink)
            store.put(key, sink.getvalue())


HISTORY = {"source": "history", "time_column": "at", "train": "30d", "holdout": "5d"}


def test_a_model_is_trained_on_its_own_predictions(case: Case) -> None:
    put_history(case.store, data(), UNTIL)
    result = case.train(until=None, data=HISTORY)
    bundle = read_bundle(case.store, result["digest"])
    assert bundle.manifest.as_of == ASKED_AT - timedelta(seconds=120)
    assert bundle.manifest.holdout_to == ASKED_AT - timedelta(seconds=120) - timedelta(days=1)
    report = msgspec.json.decode(bundle.files["report.json"])
    lived = report["history"]
    assert result["training_rows"] == lived["rows"] == lived["labelled"] < lived["predictions"]
    assert lived["exploration_share"] == 0 and lived["versions"] == {"1": lived["rows"]}
    assert case.train(until=None, data=HISTORY)["training_rows"] == result["training_rows"]


def test_too_few_labels_are_told_with_how_many_there_are(case: Case) -> None:
    put_history(case.store, data(), ASKED_AT)
    with pytest.raises(Permanent, match=r"holds 0 labels for 1,\d\d\d predictions .* wait for labels"):
        case.train(until=None, data=HISTORY)


def test_a_target_that_is_never_known_is_named(case: Case) -> None:
    pq.write_table(data(y=pa.nulls(ROWS, pa.bool_())), case.folder / "rows.parquet")
    with pytest.raises(InvalidField, match="'y' is null in all"):
        case.train()


def test_a_feature_that_gives_the_target_away_is_refused(case: Case) -> None:
    known = np.arange(ROWS) % 3 > 0
    pq.write_table(data(n=pa.array(known.astype(float)), y=pa.array(known)), case.folder / "rows.parquet")
    with pytest.raises(Permanent, match=r"features\.n: predicts 'y' all by itself"):
        case.train()


def test_a_model_that_splits_what_is_there_from_what_is_missing_passes_the_structural_check(case: Case) -> None:
    """LightGBM writes an infinite threshold for such a split."""
    known = np.arange(ROWS) % 3 > 0
    columns = {"n": pa.array(np.where(known, 1.0, np.nan), from_pandas=True), "y": pa.array(known)}
    pq.write_table(data(**columns), case.folder / "rows.parquet")
    bundle = read_bundle(case.store, case.train(features={"n": {"type": "number"}}, checks={"max_alone": 1})["digest"])
    assert b"inf" in bundle.model_text
    check_model_text(bundle.model_text, features=1, outputs=1)
