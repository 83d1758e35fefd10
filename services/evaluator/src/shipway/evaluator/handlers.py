"""What the evaluator does with each event: it writes a row; the judge does the rest."""

from shipway.bundle.manifest import check_digest
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import ReleasePromoted, ReleaseRolledBack, TrainingCompleted
from shipway.contract.spec import NAME
from shipway.evaluator import store
from shipway.runtime import trace
from shipway.runtime.database import Transaction
from shipway.runtime.handling import Handler


async def on_training_completed(tx: Transaction, completed: TrainingCompleted, _envelope: Envelope) -> None:
    """Writes the version down to be judged. The same version again changes nothing."""
    check_digest(completed.digest)
    if not NAME.fullmatch(completed.model):
        raise InvalidField("model", "is not a model's name")
    if not 1 <= completed.version < 2**31:
        raise InvalidField("version", "must be 1 or more")
    if not NAME.fullmatch(completed.origin):
        raise InvalidField("origin", "must be a word such as training, search or import")
    await store.note_candidate(tx, completed, trace.current())


async def on_promoted(tx: Transaction, promoted: ReleasePromoted, _envelope: Envelope) -> None:
    """The version is the champion to beat."""
    await store.note_champion(tx, promoted.model, promoted.version, check_digest(promoted.digest), promoted.generation)


async def on_rolled_back(tx: Transaction, rolled: ReleaseRolledBack, _envelope: Envelope) -> None:
    """The champion is the one that answers now, if any."""
    digest = None if rolled.champion_digest is None else check_digest(rolled.champion_digest)
    version = rolled.champion_version if digest else None
    await store.note_champion(tx, rolled.model, version, digest, rolled.generation)


HANDLERS: dict[type, Handler] = {
    TrainingCompleted: on_training_completed,
    ReleasePromoted: on_promoted,
    ReleaseRolledBack: on_rolled_back,
}
