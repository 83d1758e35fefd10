"""Bugs planted in the pure rules, one at a time: the tests beside this one must catch each."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
PACKAGE = "shipway.evaluator."
VERDICT, PAIRED = "test_verdict", "test_paired"

# The module, what stands there, the bug, and the tests that must catch it.
MUTANTS = [
    ("gates.quality", "sure >= -allowed", "better.figure >= -allowed", VERDICT),
    ("gates.quality", 'sure > 0, words + "; there', 'sure >= 0, words + "; there', VERDICT),
    ("gates.quality", "one.better_by.high is not None and one.better_by.high < 0", "True", VERDICT),
    ("gates.quality", "s.rows >= spec.gates.min_slice_rows and s", "s", VERDICT),
    ("gates.limits", "usual * abs(figure) if metric in RELATIVE else usual", "usual", VERDICT),
    ("gates.outcome", "figure >= limit if HIGHER_IS_BETTER[metric] else figure <= limit", "figure >= limit", VERDICT),
    ("gates.holdout", "found.content - found.usual_content", "found.content", VERDICT),
    ("gates.holdout", "found.ids - found.usual_ids", "0.0", VERDICT),
    ("gates.holdout", "apart_s >= 0", "apart_s > 0", VERDICT),
    ("gates.steadiness", "if found.problem is not None:", "if False:", VERDICT),
    ("gates.steadiness", "statistics.stdev(found.figures)", "found.figures[0] - found.figures[-1]", VERDICT),
    ("gates.integrity", "taken.p95_ms <= limit", "taken.p50_ms <= limit", VERDICT),
    ("verdict", "return Verdict(not failed, gates", "return Verdict(len(failed) < 2, gates", VERDICT),
    ("verdict", 'if origin == "search":', 'if origin == "import":', VERDICT),
    ("measuring.paired", "sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0", "sign = 1.0", PAIRED),
    ("measuring.paired", "(added - taken, BLOCKS)", "(added, BLOCKS)", PAIRED),
    ("measuring.paired", "(added - taken, BLOCKS)", "(np.sort(added - taken), BLOCKS)", PAIRED),
    # Neighbours in time are dealt out to different blocks.
    (
        "measuring.paired",
        "(added - taken, BLOCKS)",
        "((added - taken)[np.argsort(labels[: len(added)], kind='stable')], BLOCKS)",
        PAIRED,
    ),
]


def fresh(name: str) -> ModuleType:
    """A module of tests, read anew, so that it takes what it imports as it is now."""
    spec = importlib.util.spec_from_file_location(f"mutants_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(module: ModuleType) -> Iterator[Callable[[], Any]]:
    """Every test of it, with each of its parameters, as a call."""
    for name, test in list(vars(module).items()):
        if not name.startswith("test_"):
            continue
        cases: list[dict[str, Any]] = [{}]
        for mark in getattr(test, "pytestmark", []):
            names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
            names = [n.strip() for part in names for n in part.split(",")]
            values = [v if len(names) > 1 else (v,) for v in mark.args[1]]
            cases = [case | dict(zip(names, value, strict=True)) for case in cases for value in values]
        yield from (lambda test=test, case=case: test(**case) for case in cases)


def planted(module: ModuleType, before: str, after: str) -> dict[str, FunctionType]:
    """The module's functions with the bug in them."""
    source = inspect.getsource(module)
    assert source.count(before) == 1, before
    mutated: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(before, after), module.__file__ or "", "exec"), mutated)
    return {n: v for n, v in mutated.items() if isinstance(v, FunctionType) and v.__module__ == module.__name__}


def caught(tests: str) -> bool:
    """Whether a test fails."""
    try:
        for call in calls(fresh(tests)):
            call()
    except AssertionError:
        return True
    except ExceptionGroup as found:  # Hypothesis, of more than one failure
        return found.subgroup(AssertionError) is not None
    return False


@pytest.mark.parametrize(("module", "before", "after", "tests"), MUTANTS)
def test_a_planted_bug_is_caught(
    module: str, before: str, after: str, tests: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.import_module(PACKAGE + module)
    functions = planted(there, before, after)
    sound = {name: getattr(there, name) for name in functions}
    # Whoever took a function of it by name has to have the planted one, too.
    for other in [m for name, m in sys.modules.items() if name.startswith(PACKAGE)]:
        for name, function in functions.items():
            if getattr(other, name, None) is sound[name]:
                monkeypatch.setattr(other, name, function)
    assert caught(tests)


@pytest.mark.parametrize("tests", [VERDICT, PAIRED])
def test_without_a_bug_nothing_is_caught(tests: str) -> None:
    assert not caught(tests)
