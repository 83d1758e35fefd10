"""The reconciler of labels: finds their predictions in the history, counts them, files them, tells of the quality.

What costs is a look into the history, not a label: so many labels are looked for at once, and a look for fewer is
followed by a rest of nine times its length.
"""

import math
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shipway.contract.events import QualityMeasured
from shipway.contract.signature import Signature
from shipway.contract.spec import Labels, ModelSpec, recorded_spec
from shipway.monitor import filing, labelfiles, labels, metrics, naming, qualities, searching, settling, store, windows
from shipway.monitor.labelling import Answer
from shipway.monitor.parting import Parting
from shipway.monitor.quality import Judge
from shipway.monitor.references import References
from shipway.monitor.settings import LabelSettings
from shipway.runtime.delivery import emit
from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts

AT_ONCE = 20_000
SWEEP_EVERY_S = 60.0
RESTS = 9


class Joiner:
    """Steps over labels; ``step`` is made for a Reconciler."""

    def __init__(self, parts: Parts, store: ObjectStore, references: References, settings: LabelSettings) -> None:
        self._parts = parts
        self._database = parts.database
        self._store = store
        self._settings = settings
        self._references = references
        self._rest_until = self._swept_at = -math.inf

    async def step(self) -> bool:
        """Everything that is due.

        Raises:
            Transient: the object store, or the database, is away.
        """
        more = False
        if time.monotonic() >= self._rest_until:
            begun = time.monotonic()
            async with self._database.begin() as tx:
                models = await labels.models_due(tx)
            for model in models:
                more |= await self._join(model)
            if not more:
                self._rest_until = time.monotonic() + RESTS * (time.monotonic() - begun)
        specs = await self._specs()
        kinds = {name: spec.target.kind for name, spec in specs.items()}
        while await labelfiles.write_due(self._database, self._store, kinds, self._settings.file_every_s):
            pass
        while await self._tell():
            pass
        if time.monotonic() >= self._swept_at + SWEEP_EVERY_S:
            await self._sweep(specs)
            self._swept_at = time.monotonic()
        return more

    async def _specs(self) -> dict[str, ModelSpec]:
        async with self._database.begin() as tx:
            return {row.name: recorded_spec(row.spec) for row in await store.declared_models(tx)}

    async def _join(self, model: str) -> bool:
        """Looks for a model's labels that are due; True where there are more."""
        now = datetime.now(UTC)
        async with self._database.begin() as tx:
            rows = await labels.due(tx, model, AT_ONCE, self._settings.search_again_s)
            spec = await store.spec_of(tx, model)
            files = await filing.with_ids(tx, model)
        rule = (spec or _Undeclared).labels
        known = {r.prediction_id: _known(r) for r in rows if r.version}
        wanted = sorted(r.prediction_id for r in rows if not r.version)
        ranks = spec is not None and spec.target.kind == "ranking"
        features = spec.watched_slices if spec is not None and not ranks else []
        looked = await searching.look(self._database, self._store, files, wanted, features, queries=ranks)
        found = known | await self._in_parts(model, looked)
        judges = await self._judges(model, {answer.version for answer in found.values()})
        lost = [r.prediction_id for r in rows if r.prediction_id not in found and now - r.received_at > rule.wait]
        async with self._database.begin() as tx:
            await settling.settle(tx, model, found, judges, rule, now)
            await labels.give_up(tx, model, lost)
        metrics.LABELS.labels("found").inc(len(found))
        metrics.LABELS.labels("orphan").inc(len(lost))
        return len(rows) == AT_ONCE

    async def _in_parts(self, model: str, looked: dict[str, tuple[Answer, dict[str, Any]]]) -> dict[str, Answer]:
        """The answers with the parts of the traffic that they are in, as far as their versions have such."""
        partings: dict[int, Parting] = {}
        async with self._database.begin() as tx:
            versions = {answer.version for answer, _ in looked.values()}
            for version, named in (await naming.namings(tx, model, sorted(versions))).items():
                bins = await windows.bins_of(tx, model, version)
                cuts = [cut for cut in bins.slicings if cut.name not in named.redacted] if bins is not None else []
                if cuts:
                    partings[version] = Parting(named.signature, cuts)
        return {
            name: replace(answer, parts=partings[answer.version].of(row)) if answer.version in partings else answer
            for name, (answer, row) in looked.items()
        }

    async def _judges(self, model: str, versions: Collection[int]) -> dict[int, Judge]:
        """A judge of each version whose signature is known; the others' labels wait."""
        async with self._database.begin() as tx:
            signatures = await naming.signatures_of(tx, model, versions)
            ndcg_at = await naming.ndcg_at(tx, model, signatures)
        return {
            v: Judge(signature, await self._scale(model, v, signature), ndcg_at.get(v))
            for v, signature in signatures.items()
        }

    async def _scale(self, model: str, version: int, signature: Signature) -> float:
        if signature.output != "regression":
            return 1.0
        return await self._references.loss_scale(model, version)

    async def _tell(self) -> bool:
        """Says how good a version is, if that has changed since it was said; one at a time."""
        async with self._database.begin() as tx:
            row = await qualities.untold(tx, self._settings.tell_every_s)
            if row is None:
                return False
            signatures = await naming.signatures_of(tx, row.model, [row.version])
            ndcg_at = await naming.ndcg_at(tx, row.model, signatures)
            told = QualityMeasured(
                model=row.model,
                version=row.version,
                labelled=row.sums["labelled"],
                loss_sum=row.sums["loss_sum"],
                loss_square_sum=row.sums["loss_square_sum"],
                predictions=await qualities.answered(tx, row.model, row.version),
                window_from=row.predicted_from,
                window_to=row.predicted_to,
                measured_at=datetime.now(UTC),
                ndcg_at=ndcg_at.get(row.version),
            )
            await emit(tx, self._parts.source, told)
        self._parts.relay.wake()
        return True

    async def _sweep(self, specs: dict[str, ModelSpec]) -> None:
        """Removes labels that can't change any more, and files that are older than their model's file says."""
        now = datetime.now(UTC)
        for name, spec in specs.items():
            keep = spec.prediction_log.keep
            within = spec.labels.within if keep is None else min(spec.labels.within, keep)
            async with self._database.begin() as tx:
                await labels.forget(tx, name, now - within - timedelta(days=1))
            if keep is not None:
                await labelfiles.remove_before(self._database, self._store, name, (now - keep).date())


class _Undeclared:
    """The rule of a model whose declaration has not come yet."""

    labels = Labels()


def _known(row: Any) -> Answer:
    """What a label's row says of its prediction."""
    parts = tuple(row.parts) if row.parts is not None else None
    return Answer(row.version, row.predicted_at, tuple(row.scores), parts, row.query or "", row.query_rows or 0)
