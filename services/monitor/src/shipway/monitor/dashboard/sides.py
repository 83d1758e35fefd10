"""Two versions side by side, as they were judged: gates, slices, and whether on the same rows. Pure.

Figures of service and the metrics are versus's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.monitor.dashboard import figures

MOST_SLICES = 50


@dataclass(frozen=True)
class Gate:
    """A gate on both sides: passed (None: it was not asked), and figure as text."""

    name: str
    passed: tuple[bool | None, bool | None]
    texts: tuple[str, str]


@dataclass(frozen=True)
class Slice:
    """A slice's figure on both sides, and how far the second is from the first."""

    name: str
    texts: tuple[str, str, str]


@dataclass(frozen=True)
class Sides:
    """The comparison. ``same_holdout``: None where that is not known."""

    gates: Sequence[Gate]
    slices: Sequence[Slice]
    same_holdout: bool | None


def sides(rows: Sequence[Mapping[str, Any]], documents: Sequence[Any]) -> Sides:
    """Of two rows of versions, and their reports as far as they are there."""
    gates = [_by(row["gates"] or [], lambda gate: str(gate.get("name"))) for row in rows]
    slices = [
        _by(_part(document, "slices"), lambda s: f"{s.get('column')} = {s.get('value')}") for document in documents
    ]
    contents = [_content(document) for document in documents]
    return Sides(
        gates=[_gate(name, gates[0].get(name), gates[1].get(name)) for name in dict.fromkeys([*gates[0], *gates[1]])],
        slices=[
            _slice(name, slices[0].get(name), slices[1].get(name)) for name in dict.fromkeys([*slices[0], *slices[1]])
        ][:MOST_SLICES],
        same_holdout=None if None in contents else contents[0] == contents[1],
    )


def _by(found: Iterable[Any], name: Any) -> dict[str, Mapping[str, Any]]:
    return {name(one): one for one in found if isinstance(one, Mapping)}


def _part(document: Any, name: str) -> list[Any]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return found if isinstance(found, list) else []


def _content(document: Any) -> str | None:
    """The hash of the holdout's rows."""
    for name in ("data", "windows", "holdout", "content"):
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, str) else None


def _gate(name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Gate:
    passed = (bool(a.get("passed")) if a else None, bool(b.get("passed")) if b else None)
    return Gate(name, passed, (figures.figure(_number(a)), figures.figure(_number(b))))


def _slice(name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Slice:
    x, y = _number(a), _number(b)
    moved = f"{y - x:+.4g}" if x is not None and y is not None else figures.NONE
    return Slice(name, (figures.figure(x), figures.figure(y), moved))


def _number(side: Mapping[str, Any] | None) -> float | None:
    value = side.get("figure") if side else None
    return float(value) if isinstance(value, int | float) else None
