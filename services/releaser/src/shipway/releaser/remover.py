"""The reconciler that removes the bundles of versions that are retired for good: marked, removed, noted, each once.

Whatever it is killed in the middle of, the next look goes on with: what is marked is removed again, which does nothing
to what is gone already.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from shipway.bundle.removing import delete_bundle
from shipway.contract import events as e
from shipway.contract.spec import format_duration
from shipway.releaser import bundles
from shipway.runtime import log
from shipway.runtime.delivery import emit
from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts

_log = log.get(__name__)


class Remover:
    """Steps over bundles; ``step`` is made for a Reconciler."""

    def __init__(
        self, parts: Parts, store: ObjectStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._parts = parts
        self._store = store
        self._clock = clock

    async def step(self) -> bool:
        """Removes what is due.

        Raises:
            Transient: the database or the object store is away.
        """
        now = self._clock()
        async with self._parts.database.begin() as tx:
            found = await bundles.due(tx, now)
        for model, version in found:
            async with self._parts.database.begin() as tx:
                await bundles.mark(tx, model, version, now)
        async with self._parts.database.begin() as tx:
            marked = await bundles.marked(tx)
        for row in marked:
            await asyncio.to_thread(delete_bundle, self._store, row.digest)
            kept = format_duration(timedelta(seconds=row.keep_bundle_s))
            reason = f"retired, and in no instance for {kept}, as retirement.remove_bundles_after says"
            told = e.BundleRemoved(model=row.model, version=row.version, digest=row.digest, reason=reason)
            async with self._parts.database.begin() as tx:
                if await bundles.removed(tx, row.model, row.version):
                    await emit(tx, self._parts.source, told)
            self._parts.relay.wake()
            _log.info("bundle removed", model=row.model, version=row.version, digest=row.digest)
        return False
