"""Look-up tables: what is known of customers, shops or machines, so that requests need not say it."""

import asyncio
import math
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from shipway.client.calls import Calls
from shipway.client.errors import Refused, ShipwayError, Unreachable
from shipway.contract.errors import InvalidField, Permanent, Transient
from shipway.contract.events import FeaturesPublished
from shipway.contract.lookups import check_row, entity_key, row_key
from shipway.contract.topics import FEATURES

T = TypeVar("T")
_AT_ONCE = 500
_ASK_AGAIN_S = 0.2


class Publishing(Calls):
    """The rows of look-up tables."""

    async def put_features(
        self, table: str, rows: Iterable[Mapping[str, Any]], *, key: str, at: datetime | None = None
    ) -> int:
        """Publishes rows of a look-up table, each for the entity that its field ``key`` names; gives how many.

        A row takes the place of the one before of its entity, as a whole; ``at`` says when it was so, by default now.
        What is not a number (NaN) is null. Nothing is published until all rows fit.

        Raises:
            ShipwayError: a row does not fit, which is named. Unreachable: the broker does not take them.
        """
        moment = at or datetime.now(UTC)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        events = [_row(table, i, row, key, moment) for i, row in enumerate(rows)]
        async with self._producing() as producer:
            for part in _parts(events):
                await _all(producer.publish("shipway/client", event) for event in part)
        return len(events)

    async def forget_features(self, table: str, keys: Sequence[str]) -> None:
        """Removes the rows of entities. Raises as put_features does."""
        for key in keys:
            _check(table, key, {"any": None}, f"key {key[:100]!r}")
        async with self._producing() as producer:
            for part in _parts(list(keys)):
                await _all(producer.send(FEATURES.name, row_key(table, key).encode(), None, []) for key in part)

    async def features(self, table: str, key: str, *, within_s: float = 10.0) -> dict[str, Any]:
        """What a gateway has of an entity: ``values`` and ``at``. It begins to follow the tables if it did not.

        Raises:
            Refused: 404, it is not in the table. Unreachable: the gateway does not answer.
        """
        url = f"{self.addresses.gateway}/features/{quote(table, safe='')}/{quote(key, safe='')}"
        until = asyncio.get_running_loop().time() + within_s
        while True:
            try:
                found: dict[str, Any] = await self._call("GET", url)
            except Refused as err:
                if err.status != 503 or asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_ASK_AGAIN_S)
            else:
                return found

    async def feature_tables(self) -> dict[str, Any]:
        """The look-up tables as a gateway has them: their rows, and how full its memory for them is."""
        found: dict[str, Any] = await self._call("GET", f"{self.addresses.gateway}/features")
        return found


def _row(table: str, at: int, row: Mapping[str, Any], key: str, moment: datetime) -> FeaturesPublished:
    name = entity_key(row.get(key))
    if name is None:
        raise ShipwayError(f"row {at}: {key} must be text or a whole number, 200 characters at most")
    values = {field: _value(value) for field, value in row.items() if field != key}
    _check(table, name, values, f"row {at}")
    return FeaturesPublished(table=table, key=name, values=values, at=moment)


def _value(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _check(table: str, key: str, values: Mapping[str, Any], where: str) -> None:
    try:
        check_row(table, key, values)
    except InvalidField as err:
        raise ShipwayError(f"{where}: {err}") from err


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, _AT_ONCE)):
        yield part


async def _all(sending: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Waits for all of them, so that what the producer batches goes together."""
    for ended in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(ended, Transient):
            raise Unreachable(str(ended)) from ended
        if isinstance(ended, Permanent):
            raise ShipwayError(str(ended)) from ended
        if isinstance(ended, BaseException):
            raise ended
