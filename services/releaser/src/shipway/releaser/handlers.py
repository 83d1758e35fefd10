"""What events do: they are put on record, and the rollouts are woken. Nothing is decided here."""

import re
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from shipway.contract import events as e
from shipway.contract import spec
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Signature
from shipway.releaser import store
from shipway.runtime import log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import emit
from shipway.runtime.handling import Handler

SOURCE = "shipway/releaser"
_log = log.get(__name__)
S = TypeVar("S", bound=BaseModel)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST_VERSION = 2**31 - 1


async def on_approved(tx: Transaction, event: e.ModelApproved, envelope: Envelope) -> None:
    """A release of the version waits for its turn; an approval that is known already changes nothing.

    Raises:
        InvalidField: the event lacks what serving the version needs, or contradicts what is known.
    """
    _check(event)
    if not _DIGEST.fullmatch(event.digest):
        raise InvalidField("digest", "must be the 64 hexadecimal digits of a sha256")
    try:
        msgspec.convert(event.signature, Signature)
    except msgspec.ValidationError as err:
        raise InvalidField("signature", str(err)) from err
    policy = _section(spec.Release, "release", event.release)
    _section(spec.PredictionLogSpec, "prediction_log", event.prediction_log)
    keep = _section(spec.Retirement, "retirement", event.retirement).remove_bundles_after if event.retirement else None
    keep_s = keep.total_seconds() if keep is not None else None
    if not await store.approve(tx, event, policy, envelope.time, trace.current(), keep_s):
        _log.info("already approved", model=event.model, version=event.version)


async def on_degraded(tx: Transaction, event: e.ModelDegraded, _envelope: Envelope) -> None:
    """The version is on record as degraded.

    Raises:
        InvalidField: there is no such version.
    """
    _check(event)
    await store.flag(tx, event.model, event.version, column="degraded", reason=event.reason)


async def on_retired(tx: Transaction, event: e.ModelRetired, envelope: Envelope) -> None:
    """The version is on record as to be retired; what the releaser itself said is on record already.

    Raises:
        InvalidField: there is no such version.
    """
    _check(event)
    if envelope.source == SOURCE:
        return
    reason = f"{event.policy}: {event.reason}"
    await store.flag(tx, event.model, event.version, column="retiring", reason=reason)


async def on_measured(tx: Transaction, event: e.QualityMeasured, _envelope: Envelope) -> None:
    """What labels say of the version is on record.

    Raises:
        InvalidField: there is no such version, or the sums can't be those of losses between 0 and 1.
    """
    _check(event)
    if not 0 <= event.labelled < 2**62:
        raise InvalidField("labelled", "must be 0 or more")
    if not 0 <= event.loss_sum <= event.labelled:
        raise InvalidField("loss_sum", f"must be 0 to {event.labelled}: losses are 0 to 1 each")
    await store.measured(tx, event)


async def on_budget(tx: Transaction, event: e.BudgetChanged, _envelope: Envelope) -> None:
    """Releases of the model are held, or go on.

    Raises:
        InvalidField: it is no level, or no reason, that could be kept.
    """
    _check_model(event.model)
    for field, text, most in (("level", event.level, 100), ("reason", event.reason, 1000)):
        if not 1 <= len(text) <= most or not text.isprintable():
            raise InvalidField(field, f"must be 1 to {most} printable characters")
    if not await store.budget(tx, event):
        _log.info("no such model yet", model=event.model, level=event.level)


async def on_command(tx: Transaction, command: e.OperatorCommand, _envelope: Envelope) -> None:
    """The command waits for the loop that decides; of a model that is not known here it is refused at once.

    Raises:
        InvalidField: it is no command that could be kept, or answered.
    """
    _check_model(command.model)
    if command.version is not None:
        _check_version(command.version)
    for field, text, least, most in (
        ("command_id", command.command_id, 1, 200),
        ("reason", command.reason, 0, 1000),
        ("requested_by", command.requested_by, 1, 200),
    ):
        if not least <= len(text) <= most or not text.isprintable():
            raise InvalidField(field, f"must be {least} to {most} printable characters")
    if await store.order(tx, command, trace.current()):
        return
    refused = e.CommandAnswered(
        model=command.model,
        command_id=command.command_id,
        action=command.action,
        version=command.version,
        done=False,
        answer=f"no version of {command.model} was ever approved",
        reason=command.reason,
        requested_by=command.requested_by,
    )
    await emit(tx, SOURCE, refused)


HANDLERS: dict[type[e.Payload], Handler] = {
    e.ModelApproved: on_approved,
    e.ModelDegraded: on_degraded,
    e.ModelRetired: on_retired,
    e.OperatorCommand: on_command,
    e.QualityMeasured: on_measured,
    e.BudgetChanged: on_budget,
}


def _check(event: e.ModelApproved | e.ModelDegraded | e.ModelRetired | e.QualityMeasured) -> None:
    _check_model(event.model)
    _check_version(event.version)


def _check_model(model: str) -> None:
    if not spec.NAME.fullmatch(model):
        raise InvalidField("model", "must be lower-case letters, digits and dashes, starting with a letter, 63 at most")


def _check_version(version: int) -> None:
    if not 1 <= version <= _LARGEST_VERSION:
        raise InvalidField("version", f"must be 1 to {_LARGEST_VERSION}")


def _section(section: type[S], name: str, raw: object) -> S:
    try:
        return section.model_validate(raw, extra="ignore")  # a newer release may have written it
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        field = ".".join([name, *(str(part) for part in first["loc"])])
        raise InvalidField(field, first["msg"]) from err
