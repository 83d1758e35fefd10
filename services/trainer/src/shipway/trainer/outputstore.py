"""Which key of a stage gave which output, in the trainer's tables, within a transaction (see stages, outputs)."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.runtime.database import Transaction
from shipway.trainer.stages import Done
from shipway.trainer.tables import stage_outputs


async def known_output(tx: Transaction, model: str, key: str) -> Done | None:
    """What a stage of this key gave before, marked as used now."""
    this = sa.update(stage_outputs).where(stage_outputs.c.key == key, stage_outputs.c.model == model)
    row = (await tx.execute(this.values(used_at=sa.func.now()).returning(stage_outputs))).one_or_none()
    return None if row is None else Done(row.stage, row.output, row.result)


async def keep_output(tx: Transaction, model: str, key: str, done: Done) -> None:
    """Remembers what a stage gave, for runs to come."""
    values = {"key": key, "model": model, "stage": done.stage, "output": done.output, "result": dict(done.result)}
    statement = insert(stage_outputs).values(values)
    again = {"output": done.output, "result": dict(done.result), "used_at": sa.func.now()}
    await tx.execute(statement.on_conflict_do_update(index_elements=["key"], set_=again))
