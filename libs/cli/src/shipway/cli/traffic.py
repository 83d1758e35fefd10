"""Replaying recorded rows as live predictions through the gateway, and counting what came of them."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.dataset as ds

from shipway.contract.spec import ModelSpec

WORKERS = 8


@dataclass
class Counts:
    """What the sender saw: every request is answered by a version, or failed for a reason."""

    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0

    @property
    def failures(self) -> int:
        """Requests that got no prediction."""
        return sum(self.failed.values())


def rows_after(folder: Path, spec: ModelSpec, start: datetime, limit: int) -> list[dict[str, Any]]:
    """Rows of the Parquet folder from ``start`` on, in the order of time, as a client would send them."""
    time_column = spec.data.time_column
    dataset = ds.dataset([str(p) for p in sorted(folder.rglob("*.parquet"))], format="parquet")
    table = dataset.to_table(columns=[*spec.features, time_column], filter=pc.field(time_column) >= start)
    rows: list[dict[str, Any]] = table.sort_by(time_column).slice(0, limit).select(list(spec.features)).to_pylist()
    return [{name: _json_value(value) for name, value in row.items()} for row in rows]


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Traffic:
    """Sends one row a request at a steady rate until it is stopped; never retries, so that every failure counts."""

    def __init__(
        self,
        gateway: str,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        per_second: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = f"{gateway}/predict/{model}"
        self._headers = dict(headers or {})
        self._rows: Iterator[Mapping[str, Any]] = cycle(rows)
        self._pause_s = 1 / per_second
        self._stopping = asyncio.Event()
        self.counts = Counts()

    def replay(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Goes on with other rows."""
        self._rows = cycle(rows)

    def stop(self) -> None:
        """Ends the sending; requests under way are still counted."""
        self._stopping.set()

    async def run(self) -> None:
        """Sends until stopped."""
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue(maxsize=WORKERS)
        async with httpx.AsyncClient(timeout=10, headers=self._headers) as client:
            workers = [asyncio.create_task(self._work(client, queue)) for _ in range(WORKERS)]
            clock = asyncio.get_running_loop().time
            due = clock()
            while not self._stopping.is_set():
                await queue.put(next(self._rows))
                due = max(due + self._pause_s, clock() - 1)
                if (wait_s := due - clock()) > 0:
                    await asyncio.sleep(wait_s)
            for _ in workers:
                await queue.put(None)
            await asyncio.gather(*workers)

    async def _work(self, client: httpx.AsyncClient, queue: "asyncio.Queue[Mapping[str, Any] | None]") -> None:
        clock = asyncio.get_running_loop().time
        while (row := await queue.get()) is not None:
            self.counts.sent += 1
            begun = clock()
            try:
                response = await client.post(self._url, json={"rows": [row]})
            except httpx.HTTPError as err:
                self.counts.failed[type(err).__name__] += 1
                continue
            self.counts.slowest_ms = max(self.counts.slowest_ms, 1000 * (clock() - begun))
            if response.is_success:
                self.counts.answered[response.json()["version"]] += 1
            else:
                self.counts.failed[f"HTTP {response.status_code}"] += 1
