"""What versions looked like when they were trained: ``reference.parquet`` of their bundles, read when it is needed."""

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from shipway.bundle.golden import decode_golden
from shipway.bundle.referencedays import read_days
from shipway.bundle.store import read_file
from shipway.contract.errors import Permanent, Transient
from shipway.contract.signature import Signature
from shipway.monitor import naming, settling
from shipway.monitor.tables import versions
from shipway.runtime import log
from shipway.runtime.database import Database
from shipway.runtime.objects import ObjectStore

_log = log.get(__name__)
Matrix = npt.NDArray[np.float64]
MAX_ROWS = 100_000


class References:
    """The reference rows and scores of versions."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._scales: dict[str, float] = {}

    async def read(self, model: str, version: int) -> tuple[Signature, Matrix, Matrix, Sequence[int]]:
        """The version's signature, and a sample of its training: rows (rows, features), scores (rows, outputs), and how
        many rows are of each day, one after another (none where that is not known).

        Raises:
            Permanent: there is no such bundle, it is damaged, or its approval has no signature that could be read.
            Transient: the store is away, or the version's events have not come yet.
        """
        this = (versions.c.model == model) & (versions.c.version == version)
        async with self._database.begin() as tx:
            digest = (await tx.execute(sa.select(versions.c.digest).where(this))).scalar_one_or_none()
            signature = await naming.signature_of(tx, model, version)
        if digest is None or signature is None:
            raise Transient(f"{model} version {version}: its approval has not been read yet")
        data = await asyncio.to_thread(read_file, self._store, digest, "reference.parquet")
        rows, scores = await asyncio.to_thread(decode_golden, data, signature, MAX_ROWS)
        return signature, rows, scores, read_days(data, len(rows))

    async def loss_scale(self, model: str, version: int) -> float:
        """The error of a model's regression that is a loss of 1: how far the reference scores of its first version
        that was asked for reach, from the least to the greatest. 1 where that is not known.

        Raises:
            Transient: as of read.
        """
        if model not in self._scales:
            try:
                _, _, scores, _ = await self.read(model, version)
                proposed = float(np.ptp(scores)) or 1.0
            except Permanent as err:
                _log.warning("reference not read", model=model, version=version, reason=str(err)[:300])
                proposed = 1.0
            async with self._database.begin() as tx:
                self._scales[model] = await settling.loss_scale(tx, model, proposed)
        return self._scales[model]
