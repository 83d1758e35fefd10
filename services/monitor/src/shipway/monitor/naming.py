"""What the features of versions are called, as approvals say it. Every function works within a transaction."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.contract.errors import Permanent
from shipway.contract.events import ModelApproved
from shipway.contract.signature import Signature, parse_signature
from shipway.contract.spec import Gates, parse_spec
from shipway.monitor.parquet import Naming
from shipway.monitor.tables import models, signatures
from shipway.runtime.database import Transaction


async def keep_signature(tx: Transaction, event: ModelApproved) -> None:
    """Keeps what names a version's features."""
    values = {"signature": event.signature, "prediction_log": event.prediction_log, "ndcg_at": event.ndcg_at}
    statement = insert(signatures).values(model=event.model, version=event.version, **values)
    await tx.execute(statement.on_conflict_do_nothing())


async def namings(tx: Transaction, model: str, versions: Collection[int]) -> dict[int, Naming]:
    """How the versions' features are called, where that is known. What the model's newest file redacts is hidden too:
    a version that was trained before it goes on answering.
    """
    newest = (await tx.execute(sa.select(models.c.spec).where(models.c.name == model))).scalar_one_or_none()
    redacted = parse_spec(newest).prediction_log.redact if newest is not None else []
    of_them = (signatures.c.model == model) & signatures.c.version.in_(versions)
    found = {}
    for row in (await tx.execute(sa.select(signatures).where(of_them))).all():
        try:
            signature = parse_signature(row.signature)
        except Permanent:
            continue
        found[row.version] = Naming(signature, frozenset([*redacted, *row.prediction_log.get("redact", [])]))
    return found


async def signature_of(tx: Transaction, model: str, version: int) -> Signature | None:
    """A version's signature; None where its approval has not been read yet.

    Raises:
        Permanent: it is none.
    """
    this = (signatures.c.model == model) & (signatures.c.version == version)
    raw = (await tx.execute(sa.select(signatures.c.signature).where(this))).scalar_one_or_none()
    return parse_signature(raw) if raw is not None else None


async def signatures_of(tx: Transaction, model: str, versions: Collection[int]) -> dict[int, Signature]:
    """The versions' signatures, as far as they are known."""
    of_them = (signatures.c.model == model) & signatures.c.version.in_(versions)
    found = {}
    for row in (await tx.execute(sa.select(signatures.c.version, signatures.c.signature).where(of_them))).all():
        try:
            found[row.version] = parse_signature(row.signature)
        except Permanent:
            continue
    return found


async def ndcg_at(tx: Transaction, model: str, known: Mapping[int, Signature]) -> dict[int, int]:
    """Of those versions that are rankings, how many of the best rows of each query count: as they were judged."""
    rankings = [version for version, signature in known.items() if signature.output == "ranking"]
    of_them = (signatures.c.model == model) & signatures.c.version.in_(rankings)
    rows = (await tx.execute(sa.select(signatures.c.version, signatures.c.ndcg_at).where(of_them))).all()
    return {row.version: row.ndcg_at or Gates().ndcg_at for row in rows}  # older approvals do not say
