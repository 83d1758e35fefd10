"""A file of the prediction history, made of the log's records in Arrow alone."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from shipway.contract.errors import Permanent
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.contract.rowencoding import UNSEEN
from shipway.contract.signature import Feature, Signature
from shipway.monitor.parquet import Naming, by_model_and_day, decode, encode, named, together

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NAN = math.nan
Record = Callable[..., PredictionRecord]
NUMBER, FLAG = Feature(name="size", type="number"), Feature(name="flag", type="boolean")
COLOUR = Feature(name="colour", type="category", categories=["red", "green"])


def naming(*features: Feature, redacted: Sequence[str] = ()) -> Naming:
    return Naming(Signature(features=list(features), output="regression", target="y"), frozenset(redacted))


def batch(*records: PredictionRecord) -> pa.Table:
    return decode_batch(encode_batch(list(records), "tests", "i").value)


def test_features_have_names_and_types(record: Record) -> None:
    rows = ([1.5, 0, 1], [NAN, 1, 0], [2, UNSEEN, NAN], [3, 7, 0.5], [4, 0.5, 1], None)
    made = named(batch(*(record(features=row, scores=[0.5]) for row in rows)), {1: naming(NUMBER, COLOUR, FLAG)})
    assert made["feature.size"].to_pylist() == [1.5, None, 2, 3, 4, None]
    assert made["feature.colour"].to_pylist() == ["red", "green", None, None, None, None]
    assert made["feature.flag"].to_pylist() == [True, False, None, None, True, None]
    assert [made.schema.field(f"feature.{f}").type for f in ("size", "colour", "flag")] == [
        pa.float64(),
        pa.string(),
        pa.bool_(),
    ]
    assert made["scores"].to_pylist() == [[0.5]] * 6
    assert "features_unnamed" not in made.schema.names


def test_what_is_redacted_is_null(record: Record) -> None:
    made = named(batch(record(features=[1, 1])), {1: naming(NUMBER, COLOUR, redacted=["colour"])})
    assert (made["feature.size"].to_pylist(), made["feature.colour"].to_pylist()) == ([1], [None])
    assert made.schema.field("feature.colour").type == pa.string()


def test_numbers_that_no_signature_fits_are_kept_without_names(record: Record) -> None:
    records = batch(
        record(features=[1]), record(features=[1, 2]), record(version=9, features=[5]), record("refused", None)
    )
    made = named(records, {1: naming(NUMBER)})
    found = sorted(zip(made["feature.size"].to_pylist(), made["features_unnamed"].to_pylist(), strict=True), key=str)
    assert found == sorted([(1, None), (None, [1, 2]), (None, [5]), (None, None)], key=str)


def test_versions_of_other_features_and_types_share_a_file(record: Record) -> None:
    records = batch(record(features=[1.5, 0]), record(version=2, features=[1, 0]), record("failed", None, reason="why"))
    other = Feature(name="size", type="category", categories=["small", "big"])
    made = decode(encode(named(records, {1: naming(NUMBER, COLOUR), 2: naming(other, FLAG)})).data)
    rows = {row["version"]: row for row in made.to_pylist()}
    assert (rows[1]["feature.size"], rows[1]["feature.colour"], rows[1]["feature.flag"]) == ("1.5", "red", None)
    assert (rows[2]["feature.size"], rows[2]["feature.colour"], rows[2]["feature.flag"]) == ("big", None, False)
    assert (rows[None]["reason"], rows[None]["feature.size"]) == ("why", None)
    again = decode(encode(together([made, made.drop_columns(["feature.flag"])])).data)
    assert again.schema == made.schema and len(again) == 3


def test_a_record_is_there_once_and_in_its_place(record: Record) -> None:
    first, second = record(at=T0 + timedelta(seconds=2)), record(at=T0)
    other_instance = record(prediction_id=first.prediction_id, instance="j", at=first.at)
    content = encode(named(batch(first, second, first, other_instance, first), {}))
    made = decode(content.data)
    assert content.rows == len(made) == 3
    assert (content.first, content.last) == (T0, T0 + timedelta(seconds=2))
    assert made["prediction_id"].to_pylist()[0] == second.prediction_id
    assert sorted(made["instance"].to_pylist()) == ["i", "i", "j"]
    assert str(made.schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_a_batch_is_parted_by_model_and_utc_day(record: Record) -> None:
    late = T0 + timedelta(days=1, microseconds=-1)
    records = batch(
        record(), record(at=late), record(at=T0 + timedelta(days=1)), record(model="n"), record(model="../x")
    )
    parts = {(model, day): len(rows) for model, day, rows in by_model_and_day(records)}
    assert parts == {("m", date(2026, 1, 1)): 2, ("m", date(2026, 1, 2)): 1, ("n", date(2026, 1, 1)): 1}
    assert by_model_and_day(batch(record(model="M"))) == []
    with pytest.raises(Permanent, match="1001 models and days"):
        by_model_and_day(batch(*(record(at=T0 + timedelta(days=n)) for n in range(1001))))
    assert by_model_and_day(batch()) == []


def test_odd_records_make_a_file_too(record: Record) -> None:
    odd: list[dict[str, Any]] = [
        {"features": []},
        {"features": [math.inf]},
        {"prediction_id": "\x00", "reason": "\ud7ff" * 1000},
        {"version": None, "features": [1]},
    ]
    for changes in odd:
        content = encode(named(batch(record(**changes)), {1: naming(COLOUR)}))
        assert len(decode(content.data)) == 1
