"""Events of any content for a service's handlers: each is handled, or refused as Permanent; anything else is a bug."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.contract.envelope import Envelope, decode
from shipway.contract.errors import Permanent
from shipway.contract.events import EVENT_TYPES
from shipway.runtime.database import Database
from shipway.runtime.handling import Handler

GOLDEN = Path(__file__).parents[1] / "libs" / "common" / "tests" / "golden"
# Such as no compression makes small enough for an index.
LONG = "".join(hashlib.sha512(bytes([i])).hexdigest() for i in range(80))
NUMBERS = st.sampled_from([-1, 0, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, 2**64 - 1, 1e308, -1e308, 5e-324])
TEXTS = st.text(max_size=20) | st.sampled_from(
    [LONG, "\u202e", "'; drop table events; --", "9" * 400, "%s", "../x", ""]
)
TIMES = st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59"])
ODD = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


def odd_for(value: Any) -> st.SearchStrategy[Any]:
    """Odd contents of a field's own kind, most of all, so that they get past the decoder."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, str):
        return TEXTS | TIMES
    if isinstance(value, int | float):
        return NUMBERS
    return ODD


def golden(name: str, **changes: Any) -> Envelope:
    """The golden event of a type, with fields changed.

    Raises:
        Permanent: with these it is no event any more.
    """
    raw = json.loads((GOLDEN / f"{name}.json").read_text())
    headers = [(k, v.encode()) for k, v in raw["headers"].items()]
    return decode(json.dumps(raw["value"] | changes).encode(), headers)


async def handled(database: Database, handlers: Mapping[type, Handler], event: Envelope) -> bool:
    """Whether a handler takes the event; False where it is refused, with a reason."""
    try:
        async with database.begin() as tx:
            await handlers[type(event.payload)](tx, event.payload, event)
    except Permanent as refusal:
        assert str(refusal)
        return False
    return True


async def fuzz(database: Database, handlers: Mapping[type, Handler], count: int = 150) -> Counter[str]:
    """Gives the handlers events with odd contents; counts what was undecodable, refused and handled."""
    names = sorted(name for name, kind in EVENT_TYPES.items() if kind in handlers)
    values = {name: json.loads((GOLDEN / f"{name}.json").read_text())["value"] for name in names}
    cases: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        for field, value in values[name].items():
            cases += [(name, {field: odd}) for odd in ([LONG, ""] if isinstance(value, str) else [-1, 2**31, 2**63])]

    @settings(max_examples=count, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(name=st.sampled_from(names), data=st.data())
    def draw(name: str, data: st.DataObject) -> None:
        fields = data.draw(st.lists(st.sampled_from(sorted(values[name])), min_size=1, max_size=2))
        cases.append((name, {field: data.draw(odd_for(values[name][field])) for field in fields}))

    draw()
    outcomes: Counter[str] = Counter()
    for name, changes in cases:
        try:
            event = golden(name, **changes)
        except Permanent:
            outcomes["undecodable"] += 1
            continue
        outcomes["handled" if await handled(database, handlers, event) else "refused"] += 1
    return outcomes
