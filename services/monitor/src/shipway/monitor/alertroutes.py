"""The API of alerts: what is open and what was, and what people do about it: acknowledge and silence."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shipway.contract.spec import AlertKind, parse_duration
from shipway.monitor import alerts
from shipway.runtime.database import Database
from shipway.runtime.http import Problem
from shipway.runtime.openapi import problems

_TEXT = r"^[^\x00]*$"
Words = Annotated[str, Field(max_length=1000, pattern=_TEXT)]
Who = Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]
ModelName = Annotated[str, Field(max_length=63, pattern="^[a-z][a-z0-9-]*$")]


class Alert(BaseModel):
    """An alert; open while ``ended_at`` is null. ``version`` 0: of the whole model. ``page``: of the playbook."""

    id: str
    model: str
    version: int
    kind: str
    subject: str
    severity: str
    figure: float | None
    limit: float | None
    reason: str
    raised_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    acked_by: str | None
    acked_at: datetime | None
    ack_note: str | None
    silenced: bool
    page: str


class Alerts(BaseModel):
    """The newest first (1000 at most)."""

    alerts: list[Alert]


class Acknowledgement(BaseModel):
    """Who looks after it."""

    model_config = ConfigDict(extra="forbid")

    by: Who
    note: Words = ""


class Acknowledged(BaseModel):
    """It is not told again until it ends."""

    id: str
    acked_by: str
    acked_at: datetime


class NewSilence(BaseModel):
    """What is not to be delivered: alerts of a model, of a kind, or all. ``lasts``: such as "2h", 30 days at most."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName | None = None
    kind: AlertKind | None = None
    lasts: str
    by: Who
    reason: Words = ""

    @field_validator("lasts")
    @classmethod
    def _duration(cls, lasts: str) -> str:
        if not 0 < parse_duration(lasts).total_seconds() <= 30 * 86400:
            raise ValueError("must be longer than nothing and 30 days at most")
        return lasts


class Silence(BaseModel):
    """Alerts of ``model`` (null: all) and ``kind`` (null: all) are not delivered until then."""

    id: int
    model: str | None
    kind: str | None
    until: datetime
    made_by: str
    reason: str
    made_at: datetime


class Silences(BaseModel):
    """Those that last."""

    silences: list[Silence]


class Ended(BaseModel):
    """The silence that was ended."""

    id: int


def add_alert_routes(app: FastAPI, database: Database) -> None:
    """Adds the routes. Looking needs the scope ``read``, the rest ``operate``."""

    @app.get("/api/alerts", tags=["alerts"], summary="Alerts", responses=problems(422, 503), response_model=Alerts)
    async def listed(
        model: Annotated[str | None, Query(max_length=256, pattern=_TEXT)] = None, ended: bool = False
    ) -> dict[str, Any]:
        async with database.begin() as tx:
            return {"alerts": await alerts.listed(tx, model, ended=ended)}

    @app.post(
        "/api/alerts/{alert_id}/ack",
        tags=["alerts"],
        summary="Acknowledge an open alert",
        responses=problems(400, 404, 422, 503),
        response_model=Acknowledged,
    )
    async def acknowledge(
        alert_id: Annotated[str, Path(max_length=256, pattern=_TEXT)], body: Acknowledgement
    ) -> dict[str, Any]:
        async with database.begin() as tx:
            found = await alerts.acknowledge(tx, alert_id, body.by, body.note)
        if found is None:
            raise Problem(404, f"there is no open alert {alert_id[:100]!r}")
        return found

    @app.get(
        "/api/silences", tags=["alerts"], summary="Silences", responses=problems(422, 503), response_model=Silences
    )
    async def silences() -> dict[str, Any]:
        async with database.begin() as tx:
            return {"silences": await alerts.silences_now(tx)}

    @app.post(
        "/api/silences",
        tags=["alerts"],
        summary="Silence alerts for a time",
        status_code=201,
        responses=problems(400, 422, 503),
        response_model=Silence,
    )
    async def silence(body: NewSilence) -> dict[str, Any]:
        kind = body.kind.replace("_", " ") if body.kind is not None else None
        async with database.begin() as tx:
            return await alerts.silence(tx, body.model, kind, parse_duration(body.lasts), body.by, body.reason)

    @app.delete(
        "/api/silences/{silence_id}",
        tags=["alerts"],
        summary="End a silence",
        responses=problems(404, 422, 503),
        response_model=Ended,
    )
    async def end(silence_id: Annotated[int, Path(ge=1, le=2**62)]) -> dict[str, Any]:
        async with database.begin() as tx:
            if not await alerts.end_silence(tx, silence_id):
                raise Problem(404, f"there is no silence {silence_id} that lasts")
        return {"id": silence_id}
