"""Own Python may choose rows and make the target; what requests would lack is refused, with the remedy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from services.trainer.tests import own_code_for_tests as own
from shipway.contract.errors import Permanent
from shipway.contract.spec import InvalidSpec, ModelSpec, parse_spec
from shipway.trainer.ownpython import code_of, function_of, rows_kept, rows_made

TABLE = pa.table(
    {
        "n": [1.0, -1.0, None, 2.0, float("nan")],
        "c": ["red", "blue", "blue", "blue", None],
        "y": [True, False, True, False, True],
    }
)
ENTRY = "own_code_for_tests:positive"


@pytest.fixture
def spec(raw_spec: Callable[..., dict[str, Any]]) -> ModelSpec:
    return parse_spec(raw_spec(clean={"python": ENTRY}))


def test_clean_says_which_rows_are_kept() -> None:
    function = function_of("clean.python", ENTRY, "numpy, own_code_for_tests")
    assert rows_kept("clean.python", function, TABLE).tolist() == [True, False, False, True, False]
    assert rows_kept("clean.python", lambda table: np.ones(table.num_rows, dtype=bool), TABLE).all()


@pytest.mark.parametrize("function", [own.nothing, own.short, lambda _: [1, 0, 1, 0, 1]])
def test_clean_that_says_anything_else_is_refused(function: Any) -> None:
    with pytest.raises(Permanent, match=r"clean\.python: must give true or false for each of 5 rows"):
        rows_kept("clean.python", function, TABLE)


def test_code_that_fails_is_named_with_its_error() -> None:
    with pytest.raises(Permanent, match=r"clean\.python: KeyError: .*no such column"):
        rows_kept("clean.python", own.fails, TABLE)


def test_preprocess_may_repeat_rows_and_make_the_target(spec: ModelSpec) -> None:
    made = rows_made("preprocess.python", own.balanced, TABLE, spec)
    assert made.column_names == ["n", "c", "y"]
    assert made["c"].to_pylist() == ["red", "red", "blue", "blue", "blue", None]
    assert rows_made("preprocess.python", own.flipped, TABLE, spec)["y"].to_pylist() == [
        False,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (own.scaled, "changes the feature 'n', which requests would lack: compute it where the data is made"),
        (own.enriched, "adds the column 'n2', which requests would lack"),
        (own.narrowed, "leaves out the column 'c'"),
        (own.invented, "'__row' must name rows that it was given"),
        (lambda table: table.drop_columns(["__row"]), "must give a pyarrow.Table with the column '__row'"),
        (own.nothing, "must give a pyarrow.Table"),
    ],
)
def test_what_serving_would_have_to_compute_is_refused(spec: ModelSpec, function: Any, words: str) -> None:
    with pytest.raises(Permanent, match=f"preprocess.python: {words}"):
        rows_made("preprocess.python", function, TABLE, spec)


@pytest.mark.parametrize(
    ("entry", "allowed", "words"),
    [
        ("os:system", "", "'os' is not in SHIPWAY_TRAINER__WORKER__PYTHON"),
        ("os.path:join", "o, os2", "'os' is not in"),
        ("own_code_for_tests:gone", "own_code_for_tests", "is not installed in this trainer"),
        ("own_code_for_tests.inner:x", "own_code_for_tests", "is not installed in this trainer"),
        ("own_code_for_tests:NO_FUNCTION", "own_code_for_tests", "is no function"),
    ],
)
def test_only_functions_of_allowed_packages_are_run(entry: str, allowed: str, words: str) -> None:
    with pytest.raises(Permanent, match=f"clean.python: .*{words}"):
        code_of("clean.python", entry, allowed)


def test_the_code_is_known_by_its_source() -> None:
    first, again, other = (
        code_of("clean.python", entry, "own_code_for_tests,json") for entry in (ENTRY, ENTRY, "json:loads")
    )
    assert first == again != other


@pytest.mark.parametrize("entry", ["", "module", "module:", "a b:c", "../x:y", "m:f()"])
def test_an_entry_point_is_a_module_and_a_function(raw_spec: Any, entry: str) -> None:
    with pytest.raises(InvalidSpec, match=r"clean\.python: must name a function"):
        parse_spec(raw_spec(clean={"python": entry}))
