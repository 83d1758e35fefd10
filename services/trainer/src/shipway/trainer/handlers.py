"""What the trainer does with each event: it writes a row; the worker does the rest."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from shipway.bundle.manifest import check_digest
from shipway.bundle.uploads import FILES, NEEDED
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    ModelDeclared,
    ModelImportRequested,
    SearchRequested,
    SubjectForgetRequested,
    TrainingAccepted,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.contract.spec import NAME, Search, parse_spec
from shipway.runtime import delivery, log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.handling import Handler
from shipway.trainer import store
from shipway.trainer.kinds import ALL_STAGES

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
    _check_request(request.request_id, request.model, request.until)
    if await store.accept(tx, request, trace.current()):
        await delivery.emit(tx, SOURCE, TrainingAccepted(model=request.model, request_id=request.request_id))


async def on_search_requested(tx: Transaction, request: SearchRequested, _envelope: Envelope) -> None:
    """Writes the search's job. The same request_id again is the same job."""
    _check_request(request.request_id, request.model, request.until)
    said = {"trials": request.trials, "time_limit_s": request.time_limit_s, "candidates": request.candidates}
    asked: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if "time_limit_s" in asked:
        asked["time_limit"] = f"{asked.pop('time_limit_s') * 1000:.0f}ms"
    try:
        Search.model_validate(asked)
    except ValidationError as err:
        wrong = err.errors(include_url=False)[0]
        raise InvalidField(".".join(map(str, wrong["loc"])), wrong["msg"]) from err
    if await store.accept(tx, request, trace.current(), kind="search", asked={"spec": {"search": asked}}):
        await delivery.emit(tx, SOURCE, TrainingAccepted(model=request.model, request_id=request.request_id))


async def on_import_requested(tx: Transaction, command: ModelImportRequested, _envelope: Envelope) -> None:
    """Writes the import's job; the files are read, and held against their hashes, by its stages."""
    _check_request(command.request_id, command.model, command.until)
    if missing := [name for name in NEEDED if name not in command.files]:
        raise InvalidField("files", f"lacks {missing[0]}")
    for name, digest in command.files.items():
        if name not in FILES:
            raise InvalidField("files", f"{name[:100]!r} is not one of {', '.join(FILES)}")
        check_digest(digest)
    if await store.accept(tx, command, trace.current(), kind="import", asked={"files": command.files}):
        await delivery.emit(tx, SOURCE, TrainingAccepted(model=command.model, request_id=command.request_id))


async def on_cancel_requested(tx: Transaction, command: TrainingCancelRequested, _envelope: Envelope) -> None:
    """Keeps the wish; the worker fulfils it."""
    _check("request_id", command.request_id)
    await store.wish_cancelled(tx, command)


async def on_retry_requested(tx: Transaction, command: TrainingRetryRequested, _envelope: Envelope) -> None:
    """Puts a failed or cancelled job back into the queue; the stages before the one that failed stay done."""
    _check("request_id", command.request_id)
    if command.stage and command.stage not in ALL_STAGES:
        raise InvalidField("stage", f"{command.stage[:100]!r} is not one of {', '.join(ALL_STAGES)}")
    state = await store.retry(tx, command)
    if state is None:
        raise InvalidField("request_id", f"there is no job {command.request_id!r} of {command.model[:100]!r}")
    if state not in ("failed", "cancelled"):
        raise InvalidField("request_id", f"the job is {state}; only one that failed or was cancelled is run again")
    await delivery.emit(tx, SOURCE, TrainingAccepted(model=command.model, request_id=command.request_id))
    _log.info("job is run again", request_id=command.request_id, requested_by=command.requested_by[:MAX_TEXT])


def _check_request(request_id: str, model: str, until: datetime | None) -> None:
    _check("request_id", request_id)
    if not NAME.fullmatch(model):
        raise InvalidField("model", "must be lower-case letters, digits and dashes, starting with a letter")
    if until is not None and until.tzinfo is None:
        raise InvalidField("until", "needs a time zone, such as 2026-01-31T00:00:00Z")


async def on_forget_requested(tx: Transaction, command: SubjectForgetRequested, _envelope: Envelope) -> None:
    """What stages kept of the model's data is not used any more, and removed: nobody can tell whose rows are in it."""
    _check("command_id", command.command_id)
    outputs = await store.drop_outputs(tx, command.model, command.command_id)
    _log.info("outputs of stages are dropped", model=command.model, outputs=outputs)


def _check(field: str, text: str) -> None:
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise InvalidField(field, f"must be 1 to {MAX_TEXT} printable characters")


HANDLERS: dict[type, Handler] = {
    ModelDeclared: on_model_declared,
    TrainingRequested: on_training_requested,
    SearchRequested: on_search_requested,
    ModelImportRequested: on_import_requested,
    TrainingCancelRequested: on_cancel_requested,
    TrainingRetryRequested: on_retry_requested,
    SubjectForgetRequested: on_forget_requested,
}
