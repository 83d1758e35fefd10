"""The reports over HTTP: as they lie in the object store, under a policy that lets no script run."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from restfuzz import fuzz

from shipway.bundle.evaluations import report_key
from shipway.contract import events as e
from shipway.monitor.reports import add_report_routes
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.database import Database
from shipway.runtime.guard import Guard
from shipway.runtime.objects import FolderStore
from shipway.runtime.refusals import add_refusals

DIGEST = "a" * 64
PATH = "/api/models/m/versions/1/report"


@pytest.fixture
async def api(
    database: Database, tmp_path: Path, put: Callable[..., Awaitable[None]]
) -> AsyncIterator[httpx.AsyncClient]:
    store = FolderStore(tmp_path)
    store.put(report_key(DIGEST), b'{"approved": true}')
    store.put(report_key(DIGEST, "html"), b"<!doctype html><p>approved</p>")
    for version, digest in ((1, DIGEST), (2, "b" * 64), (3, "not a digest")):
        told: dict[str, Any] = {"gates": [], "metrics": {}, "champion_metrics": {}, "champion_version": None}
        rejected = e.ModelRejected(model="m", version=version, digest=digest, request_id="r", reason="", **told)
        await put(rejected)
    app = FastAPI()
    add_refusals(app)
    add_report_routes(app, database, store)
    guarded = Guard(AccessSettings(), None).around(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://monitor") as client:
        yield client


async def test_a_report_is_given_as_it_lies_there(api: httpx.AsyncClient) -> None:
    assert (await api.get(PATH)).json() == {"approved": True}
    page = await api.get(PATH + ".html")
    assert page.text == "<!doctype html><p>approved</p>"
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers.get_list("content-security-policy")
    assert any(one.startswith("default-src 'none'") for one in policy)
    assert not any("script-src" in one for one in policy)


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("kind", ["", ".html"])
async def test_what_has_no_report_is_said(api: httpx.AsyncClient, version: int, kind: str) -> None:
    response = await api.get(f"/api/models/m/versions/{version}/report{kind}")
    assert response.status_code == 404
    assert "version " in response.json()["detail"]


async def test_requests_made_from_the_document_get_documented_answers(api: httpx.AsyncClient) -> None:
    def to_what_is_there(case: Any) -> None:
        if len(str(case.path_parameters["model"])) % 2:
            case.path_parameters |= {"model": "m", "version": 1}

    counts = await fuzz(api, each=8, skip=[], change=to_what_is_there)
    assert {status for _, status in counts} >= {200, 404}, counts
