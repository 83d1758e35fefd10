"""Following the prediction log: each record as a dictionary, its features by name."""

import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from shipway.client.follow import Follower
from shipway.contract.errors import Permanent
from shipway.contract.predictionbatch import decode_batch
from shipway.contract.rowencoding import UNSEEN
from shipway.contract.signature import Feature, Signature

Signatures = Callable[[], Awaitable[dict[int, Signature]]]
_BATCHES_KNOWN = 10_000


class Tail:
    """The records of one model, each batch once, however often it was sent.

    ``signatures`` gives those of the versions that are served now; a version that is not among them has its features
    as ``f0``, ``f1``, ... and as the numbers that the model was given.
    """

    def __init__(self, follower: Follower, model: str, signatures: Signatures) -> None:
        self._follower = follower
        self._model = model
        self._signatures = signatures
        self._known: dict[int, Signature | None] = {}
        self._batches: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for message in self._follower.messages():
            headers = dict(message.headers)
            batch = headers.get("ce_source", b""), headers.get("ce_id", b"")
            if batch in self._batches:
                continue
            self._batches[batch] = None
            if len(self._batches) > _BATCHES_KNOWN:
                self._batches.popitem(last=False)
            try:
                rows = decode_batch(message.value).to_pylist()
            except Permanent:
                continue  # the monitor has it among its dead letters
            for row in rows:
                if row["model"] == self._model:
                    yield await self._named(row)

    async def _named(self, row: dict[str, Any]) -> dict[str, Any]:
        version, numbers = row["version"], row["features"]
        if numbers is not None:
            if version not in self._known:
                self._known[version] = (await self._signatures()).get(version)
            row["features"] = named(self._known[version], numbers)
        return row


def named(signature: Signature | None, numbers: Sequence[float | None]) -> dict[str, Any]:
    """A row's numbers as a client would send them: categories as text, null where missing or redacted."""
    if signature is None or len(signature.features) != len(numbers):
        return {f"f{i}": _number(number) for i, number in enumerate(numbers)}
    return {f.name: _value(f, number) for f, number in zip(signature.features, numbers, strict=True)}


def _value(feature: Feature, number: float | None) -> Any:
    value = _number(number)
    if value is None or feature.type == "number":
        return value
    if feature.type == "boolean":
        return value == 1
    known = value != UNSEEN and 0 <= value < len(feature.categories)
    return feature.categories[int(value)] if known else "(unseen)"


def _number(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number
