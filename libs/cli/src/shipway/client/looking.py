"""What there is to see of models, versions, instances and events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any

from shipway.client import frames
from shipway.client.calls import Calls
from shipway.client.comparison import compare
from shipway.client.errors import ShipwayError
from shipway.client.follow import Followed, following
from shipway.client.frames import Frame
from shipway.contract import topics
from shipway.contract.errors import Permanent, Transient
from shipway.runtime.objects import ObjectStore, open_store

# What is said again and again, and read whole as a table, is no news.
_TABLES = (topics.PRESENCE, topics.GATEWAY_PRESENCE, topics.FEATURES)


class Looking(Calls):
    """Look-ups."""

    async def quality(self, name: str, days: int | None = None) -> dict[str, Any]:
        """How good a model's versions are by the labels that are known: coverage, maturity, loss over time."""
        return await self._look(f"/api/models/{name}/quality" + (f"?days={days}" if days else ""))

    async def monitoring(self, name: str) -> dict[str, Any]:
        """Whether a model's predictions are as usual: the newest finding of each kind, with those before."""
        return await self._look(f"/api/models/{name}/monitoring")

    async def levels(self, name: str) -> dict[str, Any]:
        """A model's service levels: targets, what kept them, error budgets, what is overdue."""
        return await self._look(f"/api/models/{name}/levels")

    async def models(self) -> list[dict[str, Any]]:
        """Every model, as the monitor knows it."""
        found: list[dict[str, Any]] = (await self._look("/api/models"))["models"]
        return found

    async def model(self, name: str) -> dict[str, Any]:
        """One model: its spec, versions, gates and figures."""
        return await self._look(f"/api/models/{name}")

    async def report(self, name: str, version: int) -> dict[str, Any]:
        """The evaluation report on a version: verdict, gates, figures, and which data they come from."""
        return await self._look(f"/api/models/{name}/versions/{version}/report")

    async def report_page(self, name: str, version: int) -> str:
        """The same as one HTML page that needs nothing else."""
        answer = await self._answer("GET", f"{self.addresses.monitor}/api/models/{name}/versions/{version}/report.html")
        return answer.text

    async def compare(self, name: str, a: int, b: int) -> dict[str, Any]:
        """Two versions' reports side by side, see client.comparison."""
        return compare(await self.report(name, a), await self.report(name, b))

    async def usage(self, name: str) -> dict[str, Any]:
        """How many predictions of each version were answered, failed and refused, by the prediction log."""
        return await self._look(f"/api/models/{name}/usage")

    async def history(self, name: str, day: date | None = None) -> dict[str, Any]:
        """The Parquet files of a model's predictions in the object store, with rows and bytes; of one UTC day."""
        return await self._look(f"/api/models/{name}/history" + (f"?day={day}" if day else ""))

    async def predictions(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """The records of a model's predictions from ``since`` on, before ``until``, with features as columns.

        Those that are in a file by now, which takes half a minute. See docs/operations.md for the columns.

        Raises:
            ShipwayError: the object store is away, or a file in it was changed. As history.
        """
        days: list[date | None] = [*frames.days_between(since, until)] or [None]
        found = [await self.history(name, day) for day in days]
        files = [file for one in found for file in one["files"]]
        return await self._stored(lambda store: frames.predictions(store, files, since, until))

    async def labels(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """The labels of a model's predictions, by the time of the prediction. Raises as predictions does."""
        await self.model(name)  # a name that is no model's is refused here
        return await self._stored(lambda store: frames.labels(store, name, since, until))

    async def versions(self, name: str) -> Frame:
        """A model's versions, one a row, with their figures."""
        return frames.versions(await self.model(name))

    async def evaluations(self, name: str) -> Frame:
        """How a model's versions were judged, a row for each gate."""
        return frames.evaluations(await self.model(name))

    async def _stored(self, read: Callable[[ObjectStore], Frame]) -> Frame:
        def run() -> Frame:
            return read(open_store(self.addresses.objects))

        try:
            return await asyncio.to_thread(run)
        except (Transient, Permanent) as err:
            raise ShipwayError(f"the object store, {self.addresses.objects.url}: {err}") from err

    async def instances(self) -> dict[str, Any]:
        """The predictor instances, as the gateway's registry has them."""
        found: dict[str, Any] = await self._call("GET", f"{self.addresses.gateway}/instances")
        return found

    async def status(self) -> dict[str, Any]:
        """Models, releases in progress and instances at a glance."""
        return await self._look("/api/status")

    @asynccontextmanager
    async def events(self, *, from_start: bool = False) -> AsyncIterator[AsyncIterator[Followed]]:
        """Follows every event from now on (or from the start of what the broker keeps)."""
        carried = [t for t in topics.TOPICS if t.types and t not in _TABLES]
        async with following(self.addresses.kafka, carried, from_start=from_start) as follower:
            yield aiter(follower)
