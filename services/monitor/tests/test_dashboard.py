"""The dashboard's pages over a real PostgreSQL: every one answers, says what is there, and escapes what it is told."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from dashboard import yearly
from dashboard.served import dashboard

from shipway.bundle.evaluations import report_key
from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import PredictionRecord
from shipway.monitor import staging
from shipway.monitor import tables as t
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

JOB = "\"'><b>job"
HOSTILE = "\"><script>alert(1)</script>\u202e&'`{{7*7}}"

REPORT = {
    "gates": [],
    "metric": "auc",
    "judged_at": "2026-01-02T03:04:05",
    "curves": {"roc": {"this": [[0, 0], [0.2, 0.7], [1, 1]]}},
    "calibration": {"bins": [{"predicted": 0.1, "observed": 0.2}, {"predicted": 0.5, "observed": 0.4}]},
    "slices": [{"column": "carrier", "value": "<WN>", "rows": 12, "figure": 0.7, "against": None, "better_by": None}],
    "training": {"importance_gain": {"hour": 3.0, "wind": 1.0}},
}


@pytest.fixture
async def told(database: Database) -> yearly.Told:
    found = await yearly.fill(database, days=2)
    async with database.begin() as tx:
        row = {"request_id": JOB, "model": "flights", "state": "failed", "stage": "train", "message": "out of memory"}
        await tx.execute(t.requests.insert().values(**row, changed_at=datetime.now(UTC)))
    return found


@pytest.fixture
async def web(database: Database, told: yearly.Told, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = dashboard(database, tmp_path, said=yearly.presence(told))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8090") as client:
        yield client


PAGES = (
    "/dashboard",
    *(f"/dashboard/models/{story.name}" for story in yearly.STORIES),
    "/dashboard/models/flights?span=90%20d&before=3",
    "/dashboard/models/flights?span=nonsense",
    "/dashboard/models/flights/versions/1",
    "/dashboard/alerts",
    "/dashboard/alerts?ended=true&model=churn",
    "/dashboard/events",
    "/dashboard/events?model=flights&type=shipway.ModelApproved.v1&before=100000",
    "/dashboard/instances",
    "/dashboard/dead-letters",
    "/dashboard/dead-letters?service=trainer",
    "/dashboard/dead-letters/1",
    "/dashboard/jobs",
    "/dashboard/jobs?model=flights&state=trained&skip=1",
    f"/dashboard/jobs/{quote(JOB, safe='')}",
    "/dashboard/models/flights/compare",
    "/dashboard/models/flights/compare?a=1&b=2",
    "/dashboard/models/flights/declared",
    "/dashboard/models/flights/predictions",
)


class Parsed(HTMLParser):
    """What a browser would make of a page: its scripts, styles and handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.depth: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(tag)
        self.inline += [f"{tag} {name}" for name in names if name.startswith("on") or name == "style"]
        self.inline += [f"{tag} {name}={value}" for name, value in attrs if (value or "").startswith("javascript:")]


async def test_every_page_answers_with_nothing_inline(web: httpx.AsyncClient) -> None:
    for path in PAGES:
        answer = await web.get(path)
        assert answer.status_code == 200, (path, answer.text[:500])
        assert answer.headers["content-type"].startswith("text/html"), path
        assert Parsed(answer.text).inline == [], path
        policy = answer.headers.get_list("content-security-policy")
        assert any("default-src 'none'" in one and "unsafe" not in one for one in policy), path
    missing = (
        "/dashboard/models/none",
        "/dashboard/models/flights/versions/999",
        "/dashboard/models/flights/versions/1/report",
        "/dashboard/dead-letters/999",
        "/dashboard/jobs/none",
        "/dashboard/models/none/compare",
        "/dashboard/models/flights/compare?a=1&b=999",
        "/dashboard/models/none/declared",
        "/dashboard/models/none/predictions",
    )
    for path in missing:
        answer = await web.get(path)
        assert (answer.status_code, "Not found" in answer.text) == (404, True), path


async def test_the_overview_has_the_worst_first(web: httpx.AsyncClient) -> None:
    text = (await web.get("/dashboard")).text
    places = {story.name: text.index(f'/dashboard/models/{story.name}"') for story in yearly.STORIES}
    assert min(places, key=places.__getitem__) == "fraud", "it fails"
    assert places["churn"] < places["houses"], "it drifts"
    assert "12 % of 41,000 requests failed" not in text, "the sentence names the alert, not its figures"


async def test_names_that_are_markup_are_text(
    database: Database, web: httpx.AsyncClient, record: Callable[..., PredictionRecord]
) -> None:
    async with database.begin() as tx:
        await tx.execute(t.versions.update().values(reason=HOSTILE, state=HOSTILE))
        await tx.execute(t.models.update().values(spec=t.models.c.spec.op("||")({"description": HOSTILE})))
        await tx.execute(t.requests.update().values(message=HOSTILE, stage=HOSTILE, reason=HOSTILE))
        await tx.execute(t.alerts.update().values(subject=t.alerts.c.id + HOSTILE, reason=HOSTILE, acked_by=HOSTILE))
        await tx.execute(
            t.events.update().values(
                payload=t.events.c.payload.op("||")({"reason": HOSTILE, "by": HOSTILE}), trace_id=HOSTILE
            )
        )
        await tx.execute(
            t.findings.update().values(subject=HOSTILE, reason=HOSTILE).where(t.findings.c.subject == "hour")
        )
        await tx.execute(t.dead_letters.update().values(reason=HOSTILE, topic=HOSTILE, value=HOSTILE.encode()))
        await tx.execute(t.models.insert().values(name=HOSTILE))
        said = {"prediction_id": HOSTILE, "reason": HOSTILE, "client_id": HOSTILE, "instance": HOSTILE, "role": HOSTILE}
        batch = encode_batch([record("failed", model="flights", **said)], "tests", "i")
        await staging.stage(tx, decode_batch(batch.value))
    for path in (
        *PAGES,
        f"/dashboard/models/{httpx.QueryParams({'a': HOSTILE})}".replace("a=", ""),
        "/dashboard/models/%3Cb%3E",
    ):
        answer = await web.get(path)
        assert answer.status_code in (200, 404), (path, answer.text[:300])
        if answer.headers["content-type"].startswith("application/problem+json"):
            assert answer.headers["x-content-type-options"] == "nosniff", path  # no browser takes that for a page
            continue
        assert "<script>alert" not in answer.text, path
        assert Parsed(answer.text).inline == [], path


async def test_a_version_shows_its_report(
    database: Database, web: httpx.AsyncClient, told: yearly.Told, tmp_path: Path
) -> None:
    async with database.begin() as tx:
        await tx.execute(t.versions.update().values(digest="a" * 64).where(t.versions.c.model == "flights"))
    store = FolderStore(tmp_path)
    store.put(report_key("a" * 64), json.dumps(REPORT).encode())
    store.put(report_key("a" * 64, "html"), b"<!doctype html><p>approved</p>")
    page = (await web.get("/dashboard/models/flights/versions/1")).text
    assert "ROC" in page and "Calibration" in page
    assert "carrier = &lt;WN&gt;" in page
    assert "75 %" in page, "a feature's share of the gain"
    whole = await web.get("/dashboard/models/flights/versions/1/report")
    assert whole.text == "<!doctype html><p>approved</p>"
    assert not any("script-src" in one for one in whole.headers.get_list("content-security-policy"))
    store.put(report_key("a" * 64), b'{"gates": 3, "curves": [], "slices": {"a": 1}, "calibration": {"bins": [1, {}]}}')
    assert (await web.get("/dashboard/models/flights/versions/1")).status_code == 200


async def test_static_files_are_kept_by_caches_and_only_ours_are_there(web: httpx.AsyncClient) -> None:
    answer = await web.get("/dashboard/static/dashboard.js")
    assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    for path in ("../settings.py", "%2e%2e/settings.py", "vendor/uplot.LICENSE", "none"):
        assert (await web.get(f"/dashboard/static/{path}")).status_code == 404


async def test_the_root_leads_to_the_dashboard(web: httpx.AsyncClient) -> None:
    answer = await web.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
