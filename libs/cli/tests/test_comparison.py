"""Two reports side by side, whole ones and such as lack parts."""

from typing import Any

from shipway.client.comparison import compare


def report(version: int, auc: float, content: str | None, **more: Any) -> dict[str, Any]:
    data = {} if content is None else {"data": {"windows": {"holdout": {"content": content}}}}
    gate = {"name": "floor", "passed": auc > 0.6, "figure": auc, "limit": 0.6, "reason": ""}
    return (
        {"model": "m", "version": version, "approved": auc > 0.6, "gates": [gate], "metrics": {"auc": auc}}
        | data
        | more
    )


def test_the_same_rows_are_the_same_exam() -> None:
    found = compare(report(1, 0.7, "x"), report(2, 0.5, "x"))
    assert found["same_holdout"] is True
    assert found["versions"] == [1, 2]
    assert found["verdicts"] == ["approved", "rejected"]
    assert found["metrics"] == [{"name": "auc", "a": 0.7, "b": 0.5}]
    assert [row["b"]["passed"] for row in found["gates"]] == [False]
    assert compare(report(1, 0.7, "x"), report(2, 0.7, "y"))["same_holdout"] is False


def test_what_one_lacks_is_none() -> None:
    cut = {"column": "origin", "value": "JFK", "figure": 0.7}
    found = compare(report(1, 0.7, None, slices=[cut]), report(2, 0.7, "x", metrics={"auc": 0.7, "accuracy": 0.8}))
    assert found["same_holdout"] is None
    assert found["slices"] == [{"name": "origin=JFK", "a": cut, "b": None}]
    assert {"name": "accuracy", "a": None, "b": 0.8} in found["metrics"]
