"""The Open Inference Protocol's tensors, made and read by a client of others: each way a client may put them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from shipway.contract.errors import InvalidField
from shipway.contract.inference import InferRequest, decode_request, encode_answer
from shipway.contract.inferpaths import asked_model
from shipway.contract.rowencoding import UNSEEN, InvalidRows, RowEncoder
from shipway.contract.signature import Feature, Signature

FEATURES = [
    Feature(name="size", type="number"),
    Feature(name="colour", type="category", categories=["red", "blue"]),
    Feature(name="flag", type="boolean", nullable=False),
    Feature(name="age", type="number", optional=True),
]
SIGNATURE = Signature(features=FEATURES, output="multiclass", target="y", classes=["low", "mid", "high"])
ENCODER = RowEncoder(SIGNATURE)
COLUMNS: list[tuple[str, str, Any]] = [
    ("colour", "BYTES", np.array(["blue", "grün"], dtype=np.object_)),
    ("size", "FP32", np.array([1.5, np.nan], dtype=np.float32)),
    ("flag", "BOOL", np.array([True, False])),
    ("age", "INT16", np.array([3, -4], dtype=np.int16)),
]


def read(body: bytes, length: int | None, max_rows: int = 10) -> InferRequest:
    return decode_request(body, None if length is None else str(length), ENCODER, max_rows=max_rows)


def asked(
    columns: list[tuple[str, str, Any]], binary: bool, shape: Any = (2,), **more: Any
) -> tuple[bytes, int | None]:
    inputs = []
    for name, datatype, values in columns:
        inputs.append(InferInput(name, list(shape), datatype))
        inputs[-1].set_data_from_numpy(values.reshape(shape), binary_data=binary)
    body, length = InferenceServerClient.generate_request_body(inputs, **more)
    return bytes(body), length


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_tensor_a_feature_in_any_order_as_bytes(shape: Any) -> None:
    request = read(*asked(COLUMNS, True, shape, request_id="r", timeout=70_000))
    np.testing.assert_array_equal(request.rows, [[1.5, 1, 1, 3], [np.nan, UNSEEN, 0, -4]])
    assert (request.id, request.labels.timeout) == ("r", 70_000)
    assert request.outputs == (("scores", True), ("label", True), ("prediction_id", True))


def test_a_tensor_a_feature_as_json_with_null_for_what_is_missing() -> None:
    body, length = asked([column for column in COLUMNS if column[0] in ("colour", "flag")], False)
    said = json.loads(body[:length])
    said["inputs"].append({"name": "size", "datatype": "FP64", "shape": [2, 1], "data": [[None], [2]]})
    request = read(json.dumps(said).encode(), None)
    np.testing.assert_array_equal(request.rows, [[np.nan, 1, 1, np.nan], [2, UNSEEN, 0, np.nan]])


VALUES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "size": ("FP64", st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)),
    "colour": ("BYTES", st.none() | st.sampled_from(["red", "blue", "grün"])),
    "flag": ("BOOL", st.none() | st.booleans()),
    "age": ("INT64", st.none() | st.integers(-9, 10**400)),
}


@given(st.lists(st.tuples(*(values for _, values in VALUES.values())), min_size=1, max_size=4), st.data())
def test_columns_are_encoded_as_the_same_rows_by_name_are(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    names = [name for name in VALUES if name != "age" or data.draw(st.booleans())]
    named = [{name: value for name, value in zip(VALUES, row, strict=True) if name in names} for row in rows]
    inputs = [
        {"name": n, "datatype": VALUES[n][0], "shape": [len(rows)], "data": [row[n] for row in named]} for n in names
    ]
    body = json.dumps({"inputs": data.draw(st.permutations(inputs))}).encode()
    try:
        wanted = ENCODER.encode(named)
    except InvalidRows as err:
        with pytest.raises(InvalidRows) as refused:
            read(body, None)
        assert [p.field for p in refused.value.problems] == [p.field for p in err.problems]
    else:
        np.testing.assert_array_equal(read(body, None).rows, wanted)


@pytest.mark.parametrize("binary", [True, False])
def test_all_features_as_one_tensor_and_answers_as_they_are_wanted(binary: bool) -> None:
    rows = np.array([[1.5, 0, 1, 2.0], [2.5, -1, 0, 3.0]])
    wanted = [InferRequestedOutput(name, binary_data=binary) for name in ("label", "scores")]
    request = read(*asked([("rows", "FP64", rows)], binary, (2, 4), outputs=wanted))
    np.testing.assert_array_equal(request.rows, rows)
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    length, body = encode_answer("m", 3, request, SIGNATURE, scores, ["a", "b"])
    assert (length is not None) == binary
    result = InferenceServerClient.parse_response_body(body, header_length=length)
    np.testing.assert_array_equal(result.as_numpy("scores"), scores)
    labels = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("label")]
    assert labels == ["mid", "low"]
    assert result.get_response()["model_version"] == "3"
    assert result.as_numpy("prediction_id") is None, "not asked for"


whole = st.tuples(
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.none()),
    st.sampled_from([0, 1.0, -1, 0.5, 2, None]),
    st.sampled_from([0, 1.0, None]),
    st.one_of(st.floats(-1e9, 1e9), st.integers(-(10**9), 10**9)),
)


@given(st.lists(whole, min_size=1, max_size=10))
def test_all_features_as_one_tensor_are_the_same_flat_nested_and_in_bytes(rows: list[tuple[Any, ...]]) -> None:
    shaped = np.array([[np.nan if v is None else float(v) for v in row] for row in rows])
    bodies: list[tuple[bytes, int | None]] = [asked([("rows", "FP64", shaped)], True, shaped.shape)]
    for data in ([value for row in rows for value in row], [list(row) for row in rows]):
        tensor = {"name": "rows", "datatype": "FP64", "shape": list(shaped.shape), "data": data}
        bodies.append((json.dumps({"inputs": [tensor]}).encode(), None))
    found: list[Any] = []
    for body, length in bodies:
        try:
            found.append(read(body, length).rows.tolist())
        except InvalidField as err:
            found.append(str(err))
    assert repr(found[0]) == repr(found[1]) == repr(found[2])


ONE: dict[str, Any] = {"name": "size", "datatype": "FP64", "shape": [1], "data": [1.0]}
FLAG: dict[str, Any] = {"name": "flag", "datatype": "BOOL", "shape": [1], "data": [True]}
RED: dict[str, Any] = {"name": "colour", "datatype": "BYTES", "shape": [1], "data": ["red"]}
ALL: dict[str, Any] = {"name": "rows", "datatype": "FP64", "shape": [1, 4], "data": [1.0, 0, 1, 1]}
WRONG: list[tuple[list[Any], str]] = [
    ([], "inputs"),
    ([ONE | {"shape": [2]}], "inputs[0].data"),
    ([ONE | {"shape": [-1]}], "inputs[0].shape"),
    ([ONE | {"shape": [1, 1, 1]}], "inputs[0].shape"),
    ([ONE | {"shape": [2**62, 2**62]}], "inputs[0].shape"),
    ([ONE | {"shape": [11], "data": [1.0] * 11}], "inputs[0].shape"),
    ([ONE | {"datatype": "BF16"}], "inputs[0].datatype"),
    ([ONE | {"datatype": ""}], "inputs[0].datatype"),
    ([ONE | {"data": ["1.0"]}], "inputs[0].data"),
    ([ONE | {"data": [True]}], "inputs[0].data"),
    ([ONE, RED | {"data": [1]}], "inputs[1].data"),
    ([ONE, RED | {"shape": [1, 2], "data": ["red", "red"]}], "inputs[1].shape"),
    ([ONE, ONE], "inputs[1].name"),
    ([ONE | {"parameters": {"binary_data_size": 8}}], "inputs[0]"),
    ([{"name": "size", "datatype": "FP64", "shape": [1]}], "inputs[0].parameters.binary_data_size"),
    ([ALL | {"shape": [1, 3], "data": [1.0] * 3}], "inputs[0].shape"),
    ([ALL | {"datatype": "BYTES", "data": ["a"] * 4}], "inputs[0].datatype"),
    ([ALL | {"data": [1.0, 2, 1, 1]}], "inputs[0].data"),
    ([ALL | {"data": [1.0, 0.5, 1, 1]}], "inputs[0].data"),
    ([ALL | {"data": [1.0, 0, None, 1]}], "inputs[0].data"),
    ([ALL | {"data": [10**400, 0, 1, 1]}], "inputs[0].data"),
    ([ALL | {"data": [[1.0, 0, 1]]}], "inputs[0].data"),
    ([ALL | {"data": [[1.0, 0, 1, 1], 1.0]}], "inputs[0].data"),
    ([ALL | {"data": [[1.0, 0, 1, "1"]]}], "inputs[0].data"),
    ([ALL | {"shape": [11, 4], "data": [1.0] * 44}], "inputs[0].shape"),
    ([ALL, ALL], "inputs[0].shape"),
]


@pytest.mark.parametrize(("inputs", "field"), WRONG)
def test_what_does_not_fit_is_refused_with_its_place(inputs: list[Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(json.dumps({"inputs": inputs}).encode(), None)
    assert refused.value.field == field


def test_a_wrong_value_is_named_by_row_and_feature() -> None:
    with pytest.raises(InvalidRows, match=r"rows\[0\].flag") as refused:
        read(json.dumps({"inputs": [ONE, RED]}).encode(), None)
    assert [problem.field for problem in refused.value.problems] == ["rows[0].flag"]
    with pytest.raises(InvalidRows, match="did you mean 'colour'"):
        read(json.dumps({"inputs": [ONE, RED, FLAG, RED | {"name": "color"}]}).encode(), None)


@pytest.mark.parametrize(
    ("outputs", "field"),
    [
        ([{"name": "score"}], "outputs[0].name"),
        ([{"name": "scores", "parameters": {"classification": 2}}], "outputs[0].parameters.classification"),
    ],
)
def test_an_output_that_there_is_not_is_refused(outputs: list[Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(json.dumps({"inputs": [ALL], "outputs": outputs}).encode(), None)
    assert refused.value.field == field


@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 30))
def test_a_mangled_request_is_refused_or_fits(at: int, byte: int, cut: int) -> None:
    body, length = asked(COLUMNS, True)
    mangled = bytearray(body)
    mangled[at % len(body)] = byte
    try:
        request = read(bytes(mangled[: len(mangled) - cut]), length)
    except (InvalidField, InvalidRows):
        return
    assert request.rows.shape == (2, 4)


@given(st.binary(max_size=60), st.integers(1, 3))
def test_any_bytes_are_texts_or_refused(tail: bytes, count: int) -> None:
    tensor = {"name": "colour", "datatype": "BYTES", "shape": [count], "parameters": {"binary_data_size": len(tail)}}
    flags = {"name": "flag", "datatype": "BOOL", "shape": [count], "data": [True] * count}
    sizes = {"name": "size", "datatype": "FP64", "shape": [count], "data": [None] * count}
    header = json.dumps({"inputs": [flags, sizes, tensor]}).encode()
    try:
        request = read(header + tail, len(header))
    except InvalidField as err:
        assert err.field.startswith("inputs")
        return
    assert request.rows.shape == (count, 4)


def test_paths_name_a_model_and_perhaps_a_version() -> None:
    assert asked_model("/v2/models/m/infer") == ("m", None)
    assert asked_model("/v2/models/m/versions/12/infer") == ("m", 12)
    for version in ("x", "²", "-1", "", "9" * 10):
        assert asked_model(f"/v2/models/m/versions/{version}/infer") == ("m", 0)
    for other in ("m", "m/ready", "m/infer/", "m/n/infer"):
        assert asked_model(f"/v2/models/{other}") is None
