"""What a form asks for, as the event that says it; a field that is wrong is named, with the remedy. Pure.

Nothing else leaves the monitor in a person's name, and each says whose token it was asked with: what a form says of
that does not count.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

from shipway.bundle.uploads import FILES, NEEDED
from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    ModelImportRequested,
    OperatorAction,
    OperatorCommand,
    ReplayRequested,
    SearchRequested,
    SubjectForgetRequested,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.contract.spec import parse_duration

MAX_REASON = 500
MAX_SUBJECT = 200
DAYS, LIMIT = 7, 10_000
Form = Mapping[str, str]


def operator_command(model: str, action: str, form: Form, *, command_id: str, by: str) -> OperatorCommand:
    """A command over a model's releases.

    Raises:
        InvalidField: there is no such command, or a field is wrong; as all of these do.
    """
    actions: Sequence[OperatorAction] = get_args(OperatorAction)
    known = next((one for one in actions if one == action), None)
    if known is None:
        raise InvalidField("action", f"{action[:50]!r} is none of {', '.join(actions)}")
    version = _whole(form, "version", 2**31 - 1)
    reason = reason_of(form)
    return OperatorCommand(
        model=model, command_id=command_id, action=known, version=version, reason=reason, requested_by=by
    )


def training(model: str, form: Form, *, request_id: str, by: str) -> TrainingRequested:
    """A training."""
    until, reason = _until(form), reason_of(form)
    return TrainingRequested(model=model, request_id=request_id, until=until, reason=reason, requested_by=by)


def search(model: str, form: Form, *, request_id: str, by: str) -> SearchRequested:
    """A search for better parameters; what the form leaves out is as the model file says."""
    return SearchRequested(
        model=model,
        request_id=request_id,
        until=_until(form),
        trials=_whole(form, "trials", 1000),
        time_limit_s=_seconds(form, "time_limit"),
        candidates=_whole(form, "candidates", 10),
        reason=reason_of(form),
        requested_by=by,
    )


def importing(model: str, form: Form, *, request_id: str, by: str) -> ModelImportRequested:
    """A version made of files that were sent before, each named by its SHA-256."""
    files = {name: form[name] for name in FILES if form.get(name)}
    if missing := [name for name in NEEDED if name not in files]:
        raise InvalidField(missing[0], "is needed; choose the file")
    for name, digest in files.items():
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InvalidField(name, "must be the SHA-256 of the file as it was sent")
    until, reason = _until(form), reason_of(form)
    return ModelImportRequested(
        model=model, request_id=request_id, files=files, until=until, reason=reason, requested_by=by
    )


def job(
    model: str, request_id: str, what: str, form: Form, *, by: str
) -> TrainingCancelRequested | TrainingRetryRequested:
    """The end of a job, or another run of it: from the stage that failed, or from the one that is named."""
    match what:
        case "cancel":
            return TrainingCancelRequested(model=model, request_id=request_id, requested_by=by)
        case "retry":
            stage = form.get("stage", "")
            if len(stage) > 50 or not stage.isprintable():
                raise InvalidField("stage", "must be the name of one of the job's stages")
            return TrainingRetryRequested(model=model, request_id=request_id, requested_by=by, stage=stage)
        case _:
            raise InvalidField("what", f"{what[:50]!r} is neither cancel nor retry")


def forgetting(model: str, form: Form, *, command_id: str, by: str) -> SubjectForgetRequested:
    """The removal of a subject's records. As it is for good, the form must name the model once more."""
    subject = form.get("subject", "").strip()
    if not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise InvalidField("subject", f"must be 1 to {MAX_SUBJECT} printable characters: the client id of the records")
    if form.get("confirm", "").strip() != model:
        raise InvalidField("confirm", f"must be the model's name, {model}: what is removed does not come back")
    reason = reason_of(form)
    return SubjectForgetRequested(model=model, command_id=command_id, subject=subject, reason=reason, requested_by=by)


def replaying(model: str, version: int, form: Form, *, command_id: str, by: str, now: datetime) -> ReplayRequested:
    """A replay of what was predicted in the last days: DAYS of them, LIMIT predictions, where nothing else is said."""
    days, limit = _whole(form, "days", 3660) or DAYS, _whole(form, "limit", 10_000_000) or LIMIT
    return ReplayRequested(
        model=model,
        command_id=command_id,
        version=version,
        start=now - timedelta(days=days),
        end=now,
        limit=limit,
        reason=reason_of(form),
        requested_by=by,
    )


def label_of(form: Form, kind: str) -> str | float:
    """The label that a prediction should have had: of regression and ranking a number, else the class."""
    text = form.get("label", "").strip()
    if not 1 <= len(text) <= 1000 or not text.isprintable():
        raise InvalidField("label", "must be 1 to 1,000 printable characters")
    if kind in ("binary", "multiclass"):
        return text
    try:
        number = float(text)
    except ValueError as err:
        raise InvalidField("label", "must be a number, as the model's target is one") from err
    if not math.isfinite(number):
        raise InvalidField("label", "must be a finite number")
    return number


def reason_of(form: Form) -> str:
    """Why, for the record."""
    reason = " ".join(form.get("reason", "").split())
    if len(reason) > MAX_REASON:
        raise InvalidField("reason", f"has {len(reason)} characters; {MAX_REASON} are allowed")
    return reason or "no reason given"


def _until(form: Form) -> datetime | None:
    text = form.get("until", "")
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError as err:
        raise InvalidField("until", "must be a day or a moment such as 2026-03-01") from err
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _whole(form: Form, name: str, most: int) -> int | None:
    text = form.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and 0 < int(text[:11]) <= most):
        raise InvalidField(name, f"must be a whole number, 1 to {most}")
    return int(text) if text else None


def _seconds(form: Form, name: str) -> float | None:
    text = form.get(name, "").strip()
    try:
        seconds = parse_duration(text).total_seconds() if text else None
    except ValueError as err:
        raise InvalidField(name, f"{err}; such as 10m") from err
    if seconds is not None and seconds <= 0:
        raise InvalidField(name, "must be longer than nothing, such as 10m")
    return seconds
