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
from shipway.runtime.consumer import Handler
from shipway.runtime.database import Transaction

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
    if not await store.approve(tx, event, policy, envelope.time, trace.current()):
        _log.info("already approved", model=event.model, version=event.version)


async def on_degraded(tx: Transaction, event: e.ModelDegraded, _envelope: Envelope) -> None:
    """The version is on record as degraded.

    Raises:
        InvalidField: there is no such version.
    """
    _check(event)
    await store.flag(tx, event.model, event.version, column="degraded", reason=event.reason)


async def on_retired(tx: Transaction, event: e.ModelRetired, _envelope: Envelope) -> None:
    """The version is on record as to be retired.

    Raises:
        InvalidField: there is no such version.
    """
    _check(event)
    reason = f"{event.policy}: {event.reason}"
    await store.flag(tx, event.model, event.version, column="retiring", reason=reason)


HANDLERS: dict[type[e.Payload], Handler] = {
    e.ModelApproved: on_approved,
    e.ModelDegraded: on_degraded,
    e.ModelRetired: on_retired,
}


def _check(event: e.ModelApproved | e.ModelDegraded | e.ModelRetired) -> None:
    if not spec.NAME.fullmatch(event.model):
        raise InvalidField("model", "must be lower-case letters, digits and dashes, starting with a letter, 63 at most")
    if not 1 <= event.version <= _LARGEST_VERSION:
        raise InvalidField("version", f"must be 1 to {_LARGEST_VERSION}")


def _section(section: type[S], name: str, raw: object) -> S:
    try:
        return section.model_validate(raw)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        field = ".".join([name, *(str(part) for part in first["loc"])])
        raise InvalidField(field, first["msg"]) from err
