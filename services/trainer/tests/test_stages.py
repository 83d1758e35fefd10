"""When a stage need not run again: never after a change that its output depends on, and always otherwise."""

from collections.abc import Callable
from typing import Any

import pytest

from shipway.contract.spec import STAGES, parse_spec, to_builtins
from shipway.trainer.stages import READS, Done, key_of, still_good

RawSpec = Callable[..., dict[str, Any]]
BEFORE = [Done(stage, f"output of {stage}", {"rows": 1}) for stage in STAGES]


def keys(spec: dict[str, Any], told: Any = None) -> list[str]:
    return [key_of(stage, spec, {"source": told}, BEFORE[:at]) for at, stage in enumerate(STAGES)]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"data": {"source": "folder:/other", "time_column": "at", "train": "30d", "holdout": "5d"}}, "get-data"),
        ({"features": {"n": {"type": "number"}}}, "get-data"),
        ({"features": {"n": {"type": "number", "nullable": False}, "c": {"type": "category"}}}, "clean"),
        ({"training": {"min_rows": 11}}, "clean"),
        ({"training": {"validation": 0.5}}, "preprocess"),
        ({"training": {"seed": 9}}, "train"),
        ({"training": {"params": {"num_leaves": 3}}}, "train"),
        ({"gates": {"floor": 0.9}}, "build"),
        ({"lookups": [{"table": "t", "key": "k", "features": ["n"]}]}, "build"),
        ({"training": {"time_limit": "1h", "max_attempts": 9, "threads": 3}}, "build"),
    ],
)
def test_a_change_of_the_model_file_runs_again_what_looks_at_it(
    raw_spec: RawSpec, change: dict[str, Any], first: str
) -> None:
    before, after = (to_builtins(parse_spec(raw_spec(**{"training": {}} | more))) for more in ({}, change))
    same = [a == b for a, b in zip(keys(before), keys(after), strict=True)]
    assert STAGES[same.index(False)] == first


def test_other_data_and_other_outputs_run_again_what_is_made_of_them(raw_spec: RawSpec) -> None:
    spec = to_builtins(parse_spec(raw_spec()))
    assert keys(spec, "now")[0] != keys(spec, "later")[0]
    done: list[tuple[Done, str, dict[str, object]]] = [
        (one, key_of(one.stage, spec, {}, BEFORE[:at]), {}) for at, one in enumerate(BEFORE[:4])
    ]
    assert still_good(done, spec) == 4
    other = [*done[:1], (Done("clean", "another"), done[1][1], {}), *done[2:]]
    assert still_good(other, spec) == 2
    assert still_good([], spec) == 0


def test_models_of_the_same_data_have_outputs_of_their_own(raw_spec: RawSpec) -> None:
    one, other = (keys(to_builtins(parse_spec(raw_spec(name=name)))) for name in ("one", "other"))
    assert not set(one) & set(other)


def test_a_stage_reads_only_what_is_before_it() -> None:
    for at, stage in enumerate(STAGES):
        assert set(READS[stage]) <= set(STAGES[:at])


def test_a_rankings_queries_slices_and_cut_run_again_what_looks_at_them(raw_spec: RawSpec) -> None:
    data = {"source": "folder:/x", "time_column": "at", "query_column": "q", "train": "30d", "holdout": "5d"}
    ranking = {"data": data, "target": {"column": "y", "kind": "ranking"}}
    before = keys(to_builtins(parse_spec(raw_spec(**ranking))))
    for change, first in (
        ({"data": data | {"query_column": "other"}}, "get-data"),
        ({"gates": {"slices": ["part"]}}, "clean"),
        ({"gates": {"ndcg_at": 5}}, "train"),
    ):
        after = keys(to_builtins(parse_spec(raw_spec(**ranking | change))))
        same = [a == b for a, b in zip(before, after, strict=True)]
        assert STAGES[same.index(False)] == first
    raw = to_builtins(parse_spec(raw_spec(**ranking)))
    other = raw | {"data": raw["data"] | {"query_column": "other"}}
    at = STAGES.index("preprocess")
    assert keys(raw)[at] != keys(other)[at], "also where get-data and clean give the same table"
