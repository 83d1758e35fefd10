"""What people ask for, signed, and what became of it."""

from datetime import datetime
from typing import ClassVar, Literal

from shipway.contract.events.base import Event


class TrainingCancelRequested(Event, frozen=True, kw_only=True):
    """An operator's command: end this training."""

    type: ClassVar[str] = "shipway.TrainingCancelRequested.v1"
    request_id: str
    requested_by: str = "unknown"


class ModelImportRequested(Event, frozen=True, kw_only=True):
    """An operator's command: make a version of a LightGBM model that was trained elsewhere.

    ``files`` are in the object store under ``imports/<sha256>``; here is the SHA-256 of each: "model.txt" and
    "signature.json", and where there are golden rows "golden.parquet". ``until`` as of TrainingRequested: the version
    is judged on the holdout before it.
    """

    type: ClassVar[str] = "shipway.ModelImportRequested.v1"
    request_id: str
    files: dict[str, str]
    until: datetime | None = None
    reason: str = "asked for"
    requested_by: str = "unknown"


class TrainingRetryRequested(Event, frozen=True, kw_only=True):
    """An operator's command: run a failed or cancelled job again, from the stage that failed, or from ``stage``."""

    type: ClassVar[str] = "shipway.TrainingRetryRequested.v1"
    request_id: str
    requested_by: str = "unknown"
    stage: str = ""


class SubjectForgetRequested(Event, frozen=True, kw_only=True):
    """An operator's command: remove the records of a subject, whose predictions have its name as their ``client_id``,
    or before a slash in it.
    """

    type: ClassVar[str] = "shipway.SubjectForgetRequested.v1"
    command_id: str
    subject: str
    reason: str = ""
    requested_by: str = "unknown"


class SubjectForgotten(Event, frozen=True, kw_only=True):
    """The records of a subject are gone: so many predictions of ``first_at`` to ``last_at``, and so many labels.

    ``versions`` were trained or judged on the history of that time, and stay. The subject is not named again.
    """

    type: ClassVar[str] = "shipway.SubjectForgotten.v1"
    command_id: str
    records: int
    labels: int
    versions: list[int]
    first_at: datetime | None = None
    last_at: datetime | None = None
    reason: str = ""
    requested_by: str = "unknown"


OperatorAction = Literal[
    "approve",
    "promote",
    "roll_back",
    "hold",
    "resume",
    "freeze",
    "unfreeze",
    "pin",
    "unpin",
    "retire",
    "restore",
]


class OperatorCommand(Event, frozen=True, kw_only=True):
    """A person's command over a model's releases. ``version``: none where the command says which by itself."""

    type: ClassVar[str] = "shipway.OperatorCommand.v1"
    command_id: str
    action: OperatorAction
    version: int | None = None
    reason: str = ""
    requested_by: str = "unknown"


class CommandAnswered(Event, frozen=True, kw_only=True):
    """What became of an operator's command: ``done``, or refused; ``answer`` says what was done, or why not."""

    type: ClassVar[str] = "shipway.CommandAnswered.v1"
    command_id: str
    action: str
    version: int | None
    done: bool
    answer: str
    reason: str = ""
    requested_by: str = "unknown"
