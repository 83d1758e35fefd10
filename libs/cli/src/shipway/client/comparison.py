"""Two evaluation reports side by side: gates, metrics, slices, and whether they were judged on the same rows. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

Report = Mapping[str, Any]


def compare(a: Report, b: Report) -> dict[str, Any]:
    """The comparison of two reports as the monitor gives them, as JSON-like data.

    Gates, metrics and slices are lists of rows with ``a`` and ``b``, None where one lacks it. ``same_holdout`` is None
    where it can't be told: then, and where it is False, figures of the two do not speak of the same rows.
    """
    holdouts = [report.get("data", {}).get("windows", {}).get("holdout", {}).get("content") for report in (a, b)]
    sides = (a, b)
    return {
        "model": a["model"],
        "versions": [report["version"] for report in sides],
        "verdicts": ["approved" if report["approved"] else "rejected" for report in sides],
        "same_holdout": None if None in holdouts else holdouts[0] == holdouts[1],
        "data": {"a": a.get("data"), "b": b.get("data")},
        "gates": _rows(sides, lambda r: {gate["name"]: gate for gate in r.get("gates", [])}),
        "metrics": _rows(sides, lambda r: r.get("metrics", {})),
        "slices": _rows(sides, lambda r: {f"{s['column']}={s['value']}": s for s in r.get("slices", [])}),
    }


def _rows(sides: tuple[Report, Report], part: Callable[[Report], Mapping[str, Any]]) -> list[dict[str, Any]]:
    left, right = (part(side) for side in sides)
    return [{"name": name, "a": left.get(name), "b": right.get(name)} for name in dict.fromkeys([*left, *right])]
