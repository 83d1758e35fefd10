"""The prediction history as a training set: each prediction once, with the label that was known then."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.bundle.datasets import newest_time, read_rows
from shipway.bundle.historylabels import labels_between
from shipway.bundle.historysummary import HistorySummary
from shipway.bundle.sourcestate import fingerprint
from shipway.bundle.windows import windows_of
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.history import history_key, labels_key
from shipway.contract.spec import InvalidSpec, ModelSpec, parse_spec
from shipway.runtime.objects import FolderStore, ObjectMissing
from shipway.runtime.settings import DataSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATE = T0 + 30 * DAY
TIME = pa.timestamp("us", "UTC")
EARLIER = pa.list_(pa.struct([("label", pa.string()), ("settled_at", TIME)]))
LABELS = pa.schema(
    {"prediction_id": pa.string(), "label": pa.string(), "received_at": TIME, "settled_at": TIME, "earlier": EARLIER}
)


def spec(**changes: Any) -> ModelSpec:
    raw: dict[str, Any] = {
        "name": "m",
        "data": {"source": "history", "time_column": "at", "train": "10d", "holdout": "2d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"n": {"type": "number"}, "c": {"type": "category"}, "b": {"type": "boolean"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
        "labels": {"mature_after": "1d"},
    }
    return parse_spec(raw | changes)


def prediction(name: str, at: datetime = T0, **changes: Any) -> dict[str, Any]:
    logged = {"prediction_id": name, "at": at, "version": 1, "role": "champion", "instance": "i", "outcome": "answered"}
    return logged | {"feature.n": 1.0, "feature.c": "red", "feature.b": True} | changes


def label(name: str, value: str, at: datetime = T0, **changes: Any) -> dict[str, Any]:
    return {"prediction_id": name, "label": value, "received_at": at, "settled_at": at, "earlier": None} | changes


class Kept:
    """A history in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder)
        self._files = 0

    def file(self, *rows: dict[str, Any], **types: pa.DataType) -> str:
        self._files += 1
        table = pa.Table.from_pylist(list(rows))
        types = {"at": TIME, "version": pa.int32(), **{k.replace("__", "."): v for k, v in types.items()}}
        for name, kind in types.items():
            table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
        return self._put(history_key("m", rows[0]["at"].date(), f"{self._files}"), table)

    def labels(self, *rows: dict[str, Any], day: datetime = T0) -> str:
        return self._put(labels_key("m", day.date()), pa.Table.from_pylist(list(rows), LABELS))

    def _put(self, key: str, table: pa.Table) -> str:
        sink = io.BytesIO()
        pq.write_table(table, sink, store_schema=False)
        self.store.put(key, sink.getvalue())
        return key

    def read(self, model: ModelSpec | None = None, as_of: datetime = LATE) -> tuple[list[dict[str, Any]], Any]:
        table, found = read_rows(self.store, model or spec(), T0, LATE, DataSettings(folders="/"), as_of)
        return table.to_pylist(), found


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "objects")


def test_a_row_is_an_answer_that_somebody_got_with_its_label(kept: Kept) -> None:
    kept.file(
        prediction("a"),
        prediction("a", T0 + HOUR, instance="late", **{"feature.n": 9.0}),
        prediction("b", T0 + HOUR, role="candidate", version=2, **{"feature.c": None}),
        prediction("c", role="shadow"),
        prediction("d", outcome="failed", version=None),
        prediction("unlabelled"),
        feature__c=pa.string(),
    )
    kept.file(prediction("e", T0 + DAY))
    kept.labels(*(label(name, "true") for name in "abcd"))
    kept.labels(label("e", "false"), day=T0 + DAY)
    rows, found = kept.read()
    assert rows == [
        {"n": 1.0, "c": "red", "b": True, "y": "true", "at": T0},
        {"n": 1.0, "c": None, "b": True, "y": "true", "at": T0 + HOUR},
        {"n": 1.0, "c": "red", "b": True, "y": "false", "at": T0 + DAY},
    ]
    assert found == HistorySummary(
        predictions=4, labelled=3, rows=3, candidate_rows=1, left_out={}, versions={"1": 2, "2": 1}
    )
    assert found.exploration_share == pytest.approx(1 / 3)


def test_what_became_known_after_the_cut_is_not_used(kept: Kept) -> None:
    cut = T0 + 5 * DAY
    kept.file(*(prediction(name) for name in "abcd"), prediction("unripe", cut - HOUR))
    before = [{"label": "false", "settled_at": T0 + DAY}, {"label": "true", "settled_at": T0 + 2 * DAY}]
    kept.labels(
        label("a", "true", cut),
        label("b", "true", cut + HOUR),
        label("c", "false", T0, settled_at=cut + HOUR, earlier=before),
        label("d", "false", T0, settled_at=cut + HOUR, earlier=[{"label": "true", "settled_at": cut + HOUR}]),
        label("unripe", "true", cut - HOUR),
    )
    rows, found = kept.read(spec(data=spec().data.model_dump() | {"id_column": "id"}), cut)
    assert {row["id"]: row["y"] for row in rows} == {"a": "true", "c": "true"}
    assert (found.predictions, found.labelled) == (4, 2)


@given(
    changes=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["true", "false"])), min_size=1, max_size=6),
    cut=st.integers(0, 25),
    seen=st.integers(0, 25),
)
def test_a_cut_finds_the_same_label_whenever_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str]], cut: int, seen: int
) -> None:
    """However many corrections have come by the time that the file is read, if only it is after the cut."""
    ordered = sorted(changes, key=lambda change: change[0])
    held = dict(ordered)
    known = [one for one in held.items() if one[0] <= max(cut, seen)]
    wanted = [value for hour, value in known if hour <= cut][-1:]
    kept = Kept(tmp_path_factory.mktemp("cut"))
    if known:
        *earlier, (hour, value) = known
        past = [{"label": v, "settled_at": T0 + h * HOUR} for h, v in earlier] or None
        kept.labels(label("a", value, T0 + known[0][0] * HOUR, settled_at=T0 + hour * HOUR, earlier=past))
    found = labels_between(kept.store, "m", T0.date(), T0.date(), T0 + cut * HOUR, DataSettings())
    assert found["label"].to_pylist() == wanted


def test_labels_of_an_older_release_count_since_they_came(kept: Kept) -> None:
    kept.file(prediction("a"))
    old = pa.Table.from_pylist([label("a", "true", T0 + DAY)], LABELS).select(["prediction_id", "label", "received_at"])
    kept._put(labels_key("m", T0.date()), old)
    assert [len(kept.read(as_of=T0 + n * DAY)[0]) for n in (1, 2)] == [0, 1]


def test_a_feature_that_no_version_logged_is_named_with_the_remedy(kept: Kept) -> None:
    many = [f"p{i}" for i in range(60)]
    kept.file(*(prediction(name, T0, **{"feature.n": None}) for name in many), feature__n=pa.float64())
    kept.labels(*(label(name, "true") for name in many), label("new", "true"), label("bare", "true"))
    with pytest.raises(InvalidField, match=r"features\.n: is in none of the 60 .* \(versions 1\).*remove it"):
        kept.read()
    nothing = {"feature.n": None, "feature.c": None, "feature.b": None}
    types = {"feature__n": pa.float64(), "feature__c": pa.string(), "feature__b": pa.bool_()}
    kept.file(prediction("new", version=2), prediction("bare", T0, version=2, **nothing), **types)
    rows, found = kept.read()
    assert len(rows) == found.rows == 1 and found.labelled == 62
    assert found.left_out == {"features not kept": 1, "n not known to the version": 60}


def test_a_base_is_trained_on_as_well(kept: Kept, tmp_path: Path) -> None:
    kept.file(prediction("a", T0 + DAY))
    kept.labels(label("a", "1"), day=T0 + DAY)
    base = pa.table({"at": [datetime(2026, 1, 1)], "n": [2], "c": [7], "b": [False], "y": [0], "other": ["x"]})
    pq.write_table(base, tmp_path / "base.parquet")
    data = spec().data.model_dump() | {"base": f"folder:{tmp_path / 'base.parquet'}"}
    rows, found = kept.read(spec(data=data))
    assert rows == [
        {"n": 2.0, "c": "7", "b": False, "y": 0, "at": T0},
        {"n": 1.0, "c": "red", "b": True, "y": 1, "at": T0 + DAY},
    ]
    assert found.rows == 1


def test_the_state_of_the_history_is_that_of_its_files_in_the_windows(kept: Kept) -> None:
    model, allowed = spec(), DataSettings()
    windows = windows_of(model, T0 + 13 * DAY, LATE)
    inside = {kept.file(prediction("a", T0 + DAY)), kept.labels(label("a", "true"), day=T0 + DAY)}
    kept.file(prediction("z", T0 - DAY))
    before = fingerprint(kept.store, model, allowed, windows)
    assert {name for name, _ in before} == inside
    kept.labels(label("a", "false"), label("b", "true"), day=T0 + DAY)
    after = fingerprint(kept.store, model, allowed, windows)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]
    assert newest_time(kept.store, model, allowed, LATE) == LATE - DAY


def test_files_that_are_merged_meanwhile_are_found_again(kept: Kept) -> None:
    gone = kept.file(prediction("a"))
    kept.labels(label("a", "true"))

    class Merging(FolderStore):
        def get(self, key: str, max_bytes: int) -> bytes:
            if key == gone:
                self.delete(key)
                kept.file(prediction("a"))
                raise ObjectMissing(key)
            return super().get(key, max_bytes)

    kept.store = Merging(kept.store._folder)
    assert len(kept.read()[0]) == 1

    class Vanishing(FolderStore):
        def get(self, key: str, max_bytes: int) -> bytes:
            if key.startswith("history/"):
                raise ObjectMissing(key)
            return super().get(key, max_bytes)

    kept.store = Vanishing(kept.store._folder)
    with pytest.raises(Transient, match="change while they are read"):
        kept.read()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prediction_log": {"redact": ["n"]}}, r"prediction_log\.redact: 'n' is not kept.*remove it from features"),
        ({"prediction_log": {"level": "none"}}, r"prediction_log\.sample: 0 keeps no features"),
        ({"gates": {"slices": ["town"]}}, r"gates\.slices: 'town' is not a feature"),
        ({"data": {"source": "folder:/x", "base": "folder:/y"}}, r'data\.base: goes with source = "history"'),
        ({"data": {"source": "history", "base": "/y"}}, r'data\.base: must be "folder:'),
        ({"data": {"source": "elsewhere"}}, r"data\.source: must be .* or \"history\""),
    ],
)
def test_a_model_file_that_the_history_can_not_serve_is_refused(changes: dict[str, Any], words: str) -> None:
    if "data" in changes:
        changes = {"data": {"time_column": "at", "train": "1d", "holdout": "1d"} | changes["data"]}
    with pytest.raises(InvalidSpec, match=words):
        spec(**changes)


def test_rows_of_a_ranking_have_the_query_that_the_client_names(kept: Kept, tmp_path: Path) -> None:
    pq.write_table(pa.table({"q": [7], "at": pa.array([T0], TIME), "n": [3.0], "y": [2]}), tmp_path / "base.parquet")
    ids = {"a": "s1/x", "b": "s1/y", "c": "customer-17/s2/x", "d": "s3", "e": None, "f": "/x"}
    kept.file(*(prediction(name, client_id=client) for name, client in ids.items()))
    table = pa.table({"prediction_id": list(ids), "label": [1.0] * 6, "received_at": pa.array([T0] * 6, TIME)})
    kept._put(labels_key("m", T0.date()), table)
    data = {"source": "history", "time_column": "at", "train": "10d", "holdout": "2d", "query_column": "q"}
    data["base"] = f"folder:{tmp_path / 'base.parquet'}"
    ranking = spec(data=data, target={"column": "y", "kind": "ranking"}, features={"n": {"type": "number"}})
    rows, found = kept.read(ranking)
    assert [(row["q"], row["n"], row["y"]) for row in rows] == [
        ("s1", 1.0, 1.0),
        ("s1", 1.0, 1.0),
        ("customer-17/s2", 1.0, 1.0),
        ("7", 3.0, 2.0),
    ]
    assert (found.labelled, found.rows, found.left_out) == (6, 3, {"whose client_id names no query": 3})
