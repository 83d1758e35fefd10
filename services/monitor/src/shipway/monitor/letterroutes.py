"""The API of dead letters: what services refused and why, and sending it again, as the dashboard's button does."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict

from shipway.contract.errors import InvalidField
from shipway.contract.topics import DEAD_LETTERS
from shipway.monitor import letters
from shipway.monitor.alertroutes import Who
from shipway.runtime.database import Database
from shipway.runtime.deadletters import MAX_KEPT_BYTES
from shipway.runtime.http import Problem
from shipway.runtime.openapi import problems

Id = Annotated[int, Path(ge=1, le=2**62)]


class DeadLetter(BaseModel):
    """A message that ``service`` refused at ``at``; it was on ``topic`` at ``partition`` and ``offset``.

    ``bytes``: of the message. ``whole``: it was kept whole, and so can be sent again. ``error`` is the refusal's type.
    """

    id: int
    at: datetime
    service: str
    reason: str
    error: str
    topic: str
    partition: int
    offset: int
    type: str
    bytes: int
    whole: bool
    sent_again_at: datetime | None
    sent_again_by: str | None


class DeadLetters(BaseModel):
    """The newest first, 100 at most; the next are those ``before`` the id of the last."""

    letters: list[DeadLetter]


class WholeDeadLetter(DeadLetter):
    """The same with the message as it was; bytes that are no UTF-8 are escaped."""

    key: str | None
    headers: dict[str, str]
    value: str | None


class NewSending(BaseModel):
    """Who has it sent again."""

    model_config = ConfigDict(extra="forbid")

    by: Who


class SentAgain(BaseModel):
    """The message is on its way to the topic where it was; what is refused again is a new letter."""

    id: int
    topic: str


def add_letter_routes(app: FastAPI, database: Database, wake: Callable[[], None]) -> None:
    """Adds the routes. Looking needs the scope ``read``, sending ``operate``; ``wake`` is called when it may go out."""

    @app.get(
        "/api/dead-letters",
        tags=["dead letters"],
        summary="What services refused",
        responses=problems(422, 503),
        response_model=DeadLetters,
    )
    async def listed(
        service: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
        before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    ) -> dict[str, Any]:
        if service is not None and service not in DEAD_LETTERS:
            problem = f"{service[:50]!r} has no dead letters; {', '.join(DEAD_LETTERS)} have"
            raise Problem(422, f"service: {problem}", errors=[("service", problem)])
        async with database.begin() as tx:
            return {"letters": [_described(row) for row in await letters.listed(tx, service, before)]}

    @app.get(
        "/api/dead-letters/{letter_id}",
        tags=["dead letters"],
        summary="A dead letter, whole",
        responses=problems(404, 422, 503),
        response_model=WholeDeadLetter,
    )
    async def whole(letter_id: Id) -> dict[str, Any]:
        async with database.begin() as tx:
            row = _known(await letters.one(tx, letter_id), letter_id)
        headers = {name: _text(value) for name, value in row["headers"]}
        message = {"key": _text(row["key"]), "headers": headers, "value": _text(row["value"])}
        return _described(row | {"bytes": len(row["value"] or b"")}) | message

    @app.post(
        "/api/dead-letters/{letter_id}/send-again",
        tags=["dead letters"],
        summary="Send the message of a dead letter again",
        responses=problems(400, 404, 422, 503),
        response_model=SentAgain,
    )
    async def send_again(letter_id: Id, body: NewSending) -> dict[str, Any]:
        async with database.begin() as tx:
            row = _known(await letters.one(tx, letter_id), letter_id)
            try:
                await letters.send_again(tx, row, body.by)
            except InvalidField as err:
                raise Problem(422, str(err), errors=[(err.field, err.problem)]) from err
        wake()
        return {"id": letter_id, "topic": row["topic"]}


def _known(row: dict[str, Any] | None, letter_id: int) -> dict[str, Any]:
    if row is None:
        raise Problem(404, f"there is no dead letter {letter_id}; GET /api/dead-letters lists them")
    return row


def _described(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"offset": row["broker_offset"], "whole": row["bytes"] < MAX_KEPT_BYTES}


def _text(raw: bytes | None) -> str | None:
    return raw.decode("utf-8", "backslashreplace") if raw is not None else None
