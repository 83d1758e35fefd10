"""How a version's predictions are counted is learnt from the reference in its bundle, as soon as it is approved.

Whoever counts waits for that, for so long as is worth it: what is counted before has no features, and no second look.
"""

import time
from collections.abc import Mapping

from shipway.contract.errors import Permanent, Transient
from shipway.monitor import store, windows
from shipway.monitor.bins import Bins, make_bins
from shipway.monitor.references import References
from shipway.runtime import log
from shipway.runtime.database import Database, Transaction

_log = log.get(__name__)
PATIENCE_S = 10.0
MOST_KNOWN = 500
Version = tuple[str, int]


class Learner:
    """Makes the bins of approved versions; ``step`` is made for a Reconciler."""

    def __init__(self, database: Database, references: References) -> None:
        self._database = database
        self._references = references

    async def step(self) -> bool:
        """Makes all that are missing.

        Raises:
            Transient: the object store, or the database, is away.
        """
        async with self._database.begin() as tx:
            wanted = await windows.without_bins(tx)
        for model, version in wanted:
            await self._learn(model, version)
        return False

    async def _learn(self, model: str, version: int) -> None:
        """The slices are those that are declared by now."""
        bins, problem = None, None
        async with self._database.begin() as tx:
            spec = await store.spec_of(tx, model)
        try:
            signature, rows, scores, days = await self._references.read(model, version)
            bins = make_bins(signature, rows, scores, spec.watched_slices if spec is not None else [], days)
        except Permanent as err:
            problem = str(err)[:1000]
            _log.warning("no drift without a reference", model=model, version=version, reason=problem)
        async with self._database.begin() as tx:
            await windows.keep_bins(tx, model, version, bins, problem)


class KnownBins:
    """The bins of versions, for those who count; asked of the database until they are there, for good."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._found: dict[Version, Bins | None] = {}
        self._awaited_since: dict[Version, float] = {}

    async def of(self, tx: Transaction, versions: set[Version]) -> Mapping[Version, Bins | None]:
        """Those of these versions; None of one that nobody approved, has no reference, or was waited for in vain.

        Raises:
            Transient: one was approved just now, and its reference is being read.
        """
        if len(self._found) > MOST_KNOWN:
            self._found.clear()
        if len(self._awaited_since) > MOST_KNOWN:
            self._awaited_since.clear()
        if missing := versions - self._found.keys():
            self._found |= await windows.learnt_bins(tx, missing)
            missing -= self._found.keys()
        now = time.monotonic()
        for key in await windows.without_bins(tx, missing) if missing else ():
            if now < self._awaited_since.setdefault(key, now) + self._patience_s:
                raise Transient(f"{key[0]} version {key[1]}: its reference is being read")
        return self._found
