"""The trainer under requests made from its own document, and its handlers under events of any content."""

from collections.abc import Awaitable, Callable
from typing import Any

import eventfuzz
import httpx
from fastapi import FastAPI
from restfuzz import fuzz

from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.ops import Readiness, add_ops_routes
from shipway.trainer.api import add_routes
from shipway.trainer.handlers import HANDLERS


async def test_no_content_of_an_event_is_a_bug(open_database: Callable[[str], Awaitable[Database]]) -> None:
    outcomes = await eventfuzz.fuzz(await open_database("trainer"), HANDLERS)
    assert min(outcomes.values()) > 10, outcomes


async def test_requests_made_from_the_document_get_documented_answers(
    database: Database, request_training: Callable[..., Awaitable[None]]
) -> None:
    await request_training("r1")
    app = FastAPI()
    add_ops_routes(app, Readiness())
    add_routes(app, database)
    guarded = Guard(AccessSettings(), None).around(app)

    def to_what_is_there(case: Any) -> None:
        if "request_id" in (case.path_parameters or {}) and len(str(case.path_parameters["request_id"])) % 2:
            case.path_parameters["request_id"] = "r1"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://trainer") as client:
        # /readyz says 503 by design while nothing runs.
        counts = await fuzz(client, each=8, skip=["/readyz"], change=to_what_is_there)
    assert {status for _, status in counts} >= {200, 404, 422}, counts
