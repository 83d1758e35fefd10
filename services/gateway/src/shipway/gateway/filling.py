"""Which features of a request's rows are looked up, and what becomes of a row whose entity is not known. Pure.

What a row gives itself is taken as it is, null included. Only what it lacks is looked up, by the version's own rules.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.contract.errors import InvalidField
from shipway.contract.lookups import Lookup, entity_key
from shipway.contract.rowencoding import MAX_PROBLEMS, InvalidRows


@dataclass(frozen=True, slots=True)
class Known:
    """What a look-up table has of an entity; ``at``: when that was so, in seconds since 1970."""

    values: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Filled:
    """Rows with what was looked up, and without the keys. ``found`` counts by table, ``sources`` by (row, feature)."""

    rows: list[Any]
    found: Mapping[str, int]
    sources: Mapping[tuple[int, str], str]


Find = Callable[[str, str], Known | None]


def fill(lookups: Sequence[Lookup], features: Container[str], rows: Sequence[Any], find: Find, now: float) -> Filled:
    """Fills in what rows lack. ``find`` gives what a table has of a key, ``now`` is in seconds since 1970.

    Raises:
        InvalidRows: rows whose entities are not known, where the version refuses them.
    """
    found: Counter[str] = Counter({one.table: 0 for one in lookups})
    sources: dict[tuple[int, str], str] = {}
    problems: list[InvalidField] = []
    filled: list[Any] = []
    dropped = {one.key for one in lookups if one.key not in features}
    for i, given in enumerate(rows):
        if not isinstance(given, dict):
            filled.append(given)  # for the encoder to name
            continue
        row = {name: value for name, value in given.items() if name not in dropped}
        for one in lookups:
            lacking = [name for name in one.features if name not in given]
            if not lacking:
                continue
            known = _known(one, given.get(one.key), find, now)
            values = known.values if isinstance(known, Known) else {}
            if values:
                found[one.table] += 1
                sources |= {(i, name): one.table for name in lacking}
            row |= {name: values.get(name) for name in lacking}
            absent = [name for name in lacking if name not in values]
            if absent and one.missing == "refuse":
                why = known if isinstance(known, str) else f"has no {absent[0]} in {one.table}"
                problems.append(InvalidField(f"rows[{i}].{one.key}", f"{why}; or send {', '.join(absent)[:200]}"))
        filled.append(row)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise InvalidRows(problems[:MAX_PROBLEMS])
    return Filled(filled, found, sources)


def _known(one: Lookup, given: Any, find: Find, now: float) -> Known | str:
    """What is known of the entity that a row gives, or why nothing is."""
    if given is None:
        return f"is missing; send what {one.table} is looked up by"
    key = entity_key(given)
    if key is None:
        return "must be text or a whole number, as the key of a look-up"
    known = find(one.table, key)
    if known is None:
        return f"{key!r} is not in {one.table}; publish it (shipway features put {one.table})"
    if one.max_age_s is not None and now - known.at > one.max_age_s:
        days = (now - known.at) / 86400
        return f"{key!r} of {one.table} is {days:.3g} days old, {one.max_age_s / 86400:.3g} are allowed; publish it"
    return known


def explained(problems: InvalidRows, filled: Filled) -> InvalidRows:
    """The encoder's problems, of values that were looked up with the table that they are from."""
    told = []
    for problem in problems.problems:
        row, _, name = problem.field.partition("].")
        index = row.removeprefix("rows[")
        table = filled.sources.get((int(index), name)) if index.isdigit() else None
        told.append(InvalidField(problem.field, f"{problem.problem} (looked up in {table})") if table else problem)
    return InvalidRows(told)
