"""What the evaluator does with each event: it writes a row; the judge, or the replayer, does the rest."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from shipway.bundle.manifest import check_digest
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import ReleasePromoted, ReleaseRolledBack, ReplayRequested, TrainingCompleted
from shipway.contract.spec import NAME
from shipway.evaluator import replaystore, store
from shipway.evaluator.replaying import failed
from shipway.evaluator.replays import Limits, refusal
from shipway.runtime import delivery, log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.handling import Handler

SOURCE = "shipway/evaluator"
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_log = log.get(__name__)


async def on_training_completed(
    tx: Transaction, completed: TrainingCompleted, _envelope: Envelope, *, asked: Callable[[], None]
) -> None:
    """Writes the version down to be judged, and says so to ``asked``. The same version again changes nothing."""
    check_digest(completed.digest)
    if not NAME.fullmatch(completed.model):
        raise InvalidField("model", "is not a model's name")
    if not 1 <= completed.version < 2**31:
        raise InvalidField("version", "must be 1 or more")
    if not NAME.fullmatch(completed.origin):
        raise InvalidField("origin", "must be a word such as training, search or import")
    await store.note_candidate(tx, completed, trace.current())
    asked()


async def on_promoted(tx: Transaction, promoted: ReleasePromoted, _envelope: Envelope) -> None:
    """The version is the champion to beat."""
    await store.note_champion(tx, promoted.model, promoted.version, check_digest(promoted.digest), promoted.generation)


async def on_rolled_back(tx: Transaction, rolled: ReleaseRolledBack, _envelope: Envelope) -> None:
    """The champion is the one that answers now, if any."""
    digest = None if rolled.champion_digest is None else check_digest(rolled.champion_digest)
    version = rolled.champion_version if digest else None
    await store.note_champion(tx, rolled.model, version, digest, rolled.generation)


async def on_replay_requested(
    tx: Transaction, request: ReplayRequested, _envelope: Envelope, *, limits: Limits, asked: Callable[[], None]
) -> None:
    """Writes the replay down to be made, and says so to ``asked``, or tells why it is not taken. The same command again
    changes nothing.

    Raises:
        InvalidField: it is no command that could be obeyed.
    """
    _check_replay(request)
    why_not = refusal(request, await replaystore.waiting(tx), limits)
    if await replaystore.note(tx, request, trace.current(), why_not) and why_not:
        await delivery.emit(tx, SOURCE, failed(request, why_not))
        _log.info("replay refused", model=request.model, version=request.version, reason=why_not)
    asked()


def _check_replay(asked: ReplayRequested) -> None:
    if not NAME.fullmatch(asked.model):
        raise InvalidField("model", "is not a model's name")
    for field, number in (("version", asked.version), ("limit", asked.limit)):
        if not 1 <= number < 2**31:
            raise InvalidField(field, "must be 1 or more")
    for field, text, least, most in (
        ("command_id", asked.command_id, 1, 200),
        ("reason", asked.reason, 0, 1000),
        ("requested_by", asked.requested_by, 1, 200),
    ):
        if not least <= len(text) <= most or (text and not text.isprintable()):
            raise InvalidField(field, f"must be {least} to {most} printable characters")
    for field, moment in (("start", asked.start), ("end", asked.end)):
        if moment.tzinfo is None:
            raise InvalidField(field, "needs a time zone, such as 2026-01-31T00:00:00Z")
        if not EARLIEST <= moment <= LATEST:
            raise InvalidField(field, "must lie between 1971 and 2200")
    if asked.start >= asked.end:
        raise InvalidField("start", "must be before end")


def handlers(limits: Limits, asked: Callable[[], None] = lambda: None) -> dict[type, Handler]:
    """A handler for every type of event that the evaluator obeys; ``limits`` are those of replays.

    ``asked`` is called, before the commit, where there is a version to judge or a replay to make.
    """
    return {
        TrainingCompleted: partial(on_training_completed, asked=asked),
        ReleasePromoted: on_promoted,
        ReleaseRolledBack: on_rolled_back,
        ReplayRequested: partial(on_replay_requested, limits=limits, asked=asked),
    }
