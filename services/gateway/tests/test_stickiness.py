"""A key keeps its version during a canary: over requests, gateways and doors, and as the candidate's share grows."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.gateway.stickiness import Stickiness, parse_stickiness, place

KEYS = st.text(max_size=50)


@given(KEYS, KEYS)
def test_places_are_in_the_interval_and_the_same_for_the_same_key(salt: str, key: str) -> None:
    assert 0 <= place(salt, key) < 1
    assert place(salt, key) == place(salt, key)


def test_keys_spread_evenly_and_otherwise_in_the_next_canary() -> None:
    keys = [f"client-{i}" for i in range(2000)]
    share = sum(place("m-4", key) < 0.1 for key in keys) / len(keys)
    assert 0.08 < share < 0.12
    both = sum(place("m-4", key) < 0.1 and place("m-5", key) < 0.1 for key in keys)
    assert both < 0.03 * len(keys)


ODD = [b"[" * 100_000, b'{"rows": [1]}', b'{"rows": [{"x": [1]}]}', b"{}"]
ODD += [b'{"columns": ["x"], "data": []}', b'{"columns": ["x"], "data": [[]]}', b'{"columns": ["x"], "data": [1]}']


@given(
    st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"rows": [1]}', b'{"rows": [{"x": [1]}]}', b"{}", *ODD])
)
def test_a_body_that_is_no_request_has_no_key(body: bytes) -> None:
    assert Stickiness("feature", "x", "s").place([], None, body) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"row": {"x": 7}}', b'{"rows": [{"x": 7.0}, {"x": 8}]}'),
        (b'{"row": {"x": "a", "y": 1}}', b'{"rows": [{"y": 2, "x": "a"}], "client_ids": ["c"]}'),
        (b'{"row": {"x": 1.5}}', b'{"row": {"x": 1.50}}'),
        (b'{"row": {"x": true}}', b'{"row": {"x": true}}'),
        (b'{"row": {"x": "a"}}', b'{"columns": ["y", "x"], "data": [[1, "a"], [1, "b"]]}'),
    ],
)
def test_the_same_value_of_a_feature_is_the_same_key(one: bytes, other: bytes) -> None:
    sticky = Stickiness("feature", "x", "s")
    at = sticky.place([], None, one)
    assert at is not None
    assert at == sticky.place([], None, other)
    assert at == sticky.place([], msgspec.json.decode(other).get("rows", [msgspec.json.decode(one).get("row")]), b"")


def test_what_only_a_newer_gateway_knows_is_not_stuck_to() -> None:
    assert parse_stickiness("cookie:session", "s") is None
    assert parse_stickiness("", "s") is None
    assert parse_stickiness("header:X-Key", "s") == Stickiness("header", "X-Key", "s")


async def test_requests_with_one_key_have_one_version_by_every_way_of_asking(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    wanted = ((1, "champion", 0.5), (2, "candidate", 0.5))
    gateway.wants(*wanted, sticky="header:X-Shipway-Key")
    gateway.wants(*wanted, sticky="header:X-Shipway-Key", model="n")
    await gateway.knows(predictors[0], 1, 2, models=("m", "n"))
    row = {"size": 1.0, "colour": "red"}
    tensors = [
        {"name": "size", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
    ]
    seen: dict[str, set[str]] = {}
    for i in range(20):
        key = f"client-{i % 10}"
        headers = {"X-Shipway-Key": key}
        one = await gateway.http.post("/predict/m", json={"row": row}, headers=headers)
        many = await gateway.http.post("/predict/m", json={"rows": [row] * 3}, headers=headers)
        both = await gateway.http.post("/predict", json={"row": row, "models": ["m", "n"]}, headers=headers)
        open_ = await gateway.http.post("/v2/models/m/infer", json={"inputs": tensors}, headers=headers)
        answers = {a["model"]: a["version"] for a in both.json()["answers"]}
        versions = {str(v) for v in (one.json()["version"], many.json()["version"], answers["m"])}
        seen[key] = seen.get(key, set()) | versions | {open_.json()["model_version"]}
    assert all(len(versions) == 1 for versions in seen.values()), seen
    assert set.union(*seen.values()) == {"1", "2"}


async def test_a_feature_keeps_its_version_when_it_comes_as_a_tensor(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 0.5), (2, "candidate", 0.5), sticky="feature:size")
    await gateway.knows(predictors[0], 1, 2)

    async def version(size: Any, datatype: str = "FP64", path: str = "/v2/models/m/infer") -> int:
        size_tensor = {"name": "size", "shape": [1], "datatype": datatype, "data": [size]}
        colour = {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]}
        answer = await gateway.http.post(path, json={"inputs": [colour, size_tensor]})
        return int(answer.json()["model_version"])

    found = set()
    for size in range(8):
        by_json = (await gateway.ask({"row": {"size": size, "colour": "red"}})).json()["version"]
        assert {await version(float(size)), await version(size, "INT32")} == {by_json}
        found.add(by_json)
    assert found == {1, 2}
    assert {await version(None) for _ in range(30)} == {1, 2}
    assert await version(1.0, path="/v2/models/m/versions/2/infer") == 2, "who names a version gets it"
    whole = {"name": "rows", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 0.0]}
    drawn = [await gateway.http.post("/v2/models/m/infer", json={"inputs": [whole]}) for _ in range(30)]
    assert {answer.json()["model_version"] for answer in drawn} == {"1", "2"}
    assert (await gateway.http.post("/v2/models/m/infer", content=b"{")).status_code == 422


async def test_a_feature_keeps_its_version_and_without_a_key_requests_are_drawn(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 0.5), (2, "candidate", 0.5), sticky="feature:size")
    await gateway.knows(predictors[0], 1, 2)
    for size in range(8):
        bodies = [{"row": {"size": size, "colour": "red"}}, {"rows": [{"size": float(size), "colour": None}] * 2}]
        bodies.append({"columns": ["colour", "size"], "data": [["red", size], ["red", 99]]})
        assert len({(await gateway.ask(body)).json()["version"] for body in bodies}) == 1
    drawn = {(await gateway.ask({"row": {"size": None, "colour": "red"}})).json()["version"] for _ in range(30)}
    assert drawn == {1, 2}
