"""What the trainer does with each event: it writes a row; the worker does the rest."""

import hashlib

import msgspec

from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import ModelDeclared, TrainingAccepted, TrainingCancelRequested, TrainingRequested
from shipway.contract.spec import NAME, parse_spec
from shipway.runtime import delivery, log, trace
from shipway.runtime.consumer import Handler
from shipway.runtime.database import Transaction
from shipway.trainer import store

SOURCE = "shipway/trainer"
MAX_TEXT = 200
_log = log.get(__name__)


async def on_model_declared(tx: Transaction, declared: ModelDeclared, envelope: Envelope) -> None:
    """Keeps the newest declaration of a model. Permanent where it is not a valid model file."""
    spec = parse_spec(declared.spec)
    if spec.name != declared.model:
        raise InvalidField("name", f"{spec.name!r} is not the model that was declared, {declared.model!r}")
    raw = msgspec.json.encode(declared.spec, order="sorted")
    digest = hashlib.sha256(raw).hexdigest()
    if await store.declare(tx, declared, envelope, digest):
        _log.info("model declared", model=declared.model, digest=digest[:12])
    else:
        _log.info("an older declaration than the one known; passed over", model=declared.model)


async def on_training_requested(tx: Transaction, request: TrainingRequested, _envelope: Envelope) -> None:
    """Writes the request's job. The same request_id again is the same job."""
    _check("request_id", request.request_id)
    if not NAME.fullmatch(request.model):
        raise InvalidField("model", "must be lower-case letters, digits and dashes, starting with a letter")
    if request.until is not None and request.until.tzinfo is None:
        raise InvalidField("until", "needs a time zone, such as 2026-01-31T00:00:00Z")
    if await store.accept(tx, request, trace.current()):
        await delivery.emit(tx, SOURCE, TrainingAccepted(model=request.model, request_id=request.request_id))


async def on_cancel_requested(tx: Transaction, command: TrainingCancelRequested, _envelope: Envelope) -> None:
    """Keeps the wish; the worker fulfils it."""
    _check("request_id", command.request_id)
    await store.wish_cancelled(tx, command)


def _check(field: str, text: str) -> None:
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise InvalidField(field, f"must be 1 to {MAX_TEXT} printable characters")


HANDLERS: dict[type, Handler] = {
    ModelDeclared: on_model_declared,
    TrainingRequested: on_training_requested,
    TrainingCancelRequested: on_cancel_requested,
}
