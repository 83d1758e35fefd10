"""Who comes in at the dashboard: signing in, sessions, other sites' pages, and what a session may not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dashboard.served import dashboard
from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor import tables as t
from shipway.monitor.dashboard import sessions
from shipway.monitor.dashboard.admission import (
    COOKIE,
    PREFIX,
    SIGN_IN,
    Admitted,
    Asked,
    Turned,
    admit,
    csrf_of,
    is_open,
    safe_next,
)
from shipway.runtime.database import Database
from shipway.runtime.tokens import create

HOST = "127.0.0.1:8090"
SESSION = "s" * 43
MARK = 'X-Shipway-Csrf": "'

texts = st.one_of(
    st.none(), st.text(max_size=40), st.sampled_from(["same-origin", "cross-site", f"http://{HOST}", "null"])
)
asked = st.builds(
    Asked,
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=st.sampled_from([PREFIX, f"{PREFIX}/models/m", f"{PREFIX}/sign-out", f"{PREFIX}/static/a.css", SIGN_IN]),
    host=st.one_of(st.just(HOST), st.text(max_size=30)),
    origin=texts,
    fetch_site=texts,
    session=st.one_of(st.none(), st.just(SESSION)),
    known=st.booleans(),
    csrf=st.one_of(st.none(), st.just(csrf_of(SESSION)), st.text(max_size=70)),
    bearer=st.booleans(),
)


@given(asked, st.booleans())
def test_nothing_changes_without_the_pages_own_token(one: Asked, tokens: bool) -> None:
    found = admit(one, tokens=tokens)
    if one.method not in ("GET", "HEAD") and one.path != SIGN_IN and isinstance(found, Admitted):
        assert one.session is not None and one.csrf == csrf_of(one.session)
        assert one.known or not tokens
        assert one.fetch_site in (None, "same-origin", "none")
        assert one.fetch_site is not None or one.origin in (None, f"http://{HOST}") or one.origin.endswith(one.host)


@given(asked)
def test_no_page_is_shown_to_who_is_not_signed_in(one: Asked) -> None:
    if isinstance(admit(one, tokens=True), Admitted):
        assert one.known or one.bearer or is_open(one.path)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "", "a@127.0.0.1", "[::1"]
)
def test_a_name_that_is_not_ours_is_turned_away_where_there_are_no_tokens(host: str) -> None:
    found = admit(Asked("GET", PREFIX, host=host), tokens=False)
    assert isinstance(found, Turned) and found.status == 421


@pytest.mark.parametrize("host", [HOST, "localhost:8090", "[::1]:8090", "monitor:8090", "10.0.0.3", "ship.example.org"])
def test_our_names_are_answered(host: str) -> None:
    assert admit(Asked("GET", PREFIX, host=host), tokens=False, hosts=["ship.example.org"]) == Admitted()


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/dashboardx", "/dashboard\\@x", "", "/api", "/dashboard/\n"]
)
def test_signing_in_leads_nowhere_else(path: str) -> None:
    assert safe_next(path) == PREFIX


async def test_a_session_stands_for_its_token_until_it_ends(database: Database) -> None:
    async with database.begin() as tx:
        session = await sessions.begin(tx, b"h" * 32, timedelta(hours=1))
        over = await sessions.begin(tx, b"h" * 32, timedelta(0))
        kept = [row.id_sha256 for row in (await tx.execute(sa.select(t.dashboard_sessions))).all()]
        assert session.encode() not in kept, "a copy of the table opens nothing"
        assert await sessions.token_of(tx, session) == b"h" * 32
        assert await sessions.token_of(tx, over) is None
        assert await sessions.token_of(tx, "x") is None
        await sessions.end(tx, session)
        assert await sessions.token_of(tx, session) is None


async def test_one_token_has_only_so_many_sessions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    async with database.begin() as tx:
        others = await sessions.begin(tx, b"o" * 32, timedelta(minutes=1))
        begun = [await sessions.begin(tx, b"h" * 32, timedelta(hours=hours)) for hours in range(1, 6)]
        lasting = [session for session in begun if await sessions.token_of(tx, session) is not None]
        assert lasting == begun[2:]
        assert await sessions.token_of(tx, others) is not None


@pytest.fixture
async def web(database: Database, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    tokens = tmp_path / "tokens"
    tokens.touch()
    create(tokens, "other", ["predict"])
    async with database.begin() as tx:
        await tx.execute(sa.insert(t.models).values(name="m"))
    given = {name: create(tokens, name, scopes) for name, scopes in TOKENS.items()}
    app = dashboard(database, tmp_path, tokens=tokens)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client:
        client.tokens = given  # type: ignore[attr-defined]
        yield client, tokens


TOKENS: dict[str, Any] = {"ann": ["read"], "bob": ["read", "operate"], "shop": ["predict"]}


async def signed_in(client: httpx.AsyncClient, name: str) -> dict[str, str]:
    """Signs in; gives the header that a page of that session would send."""
    token = client.tokens[name]  # type: ignore[attr-defined]
    answer = await client.post(SIGN_IN, data={"token": token, "next": "/dashboard/events"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/events"), answer.text[:300]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/dashboard" in cookie
    assert token.lower() not in cookie
    page = (await client.get("/dashboard")).text
    return {"x-shipway-csrf": page.partition("&#34;X-Shipway-Csrf&#34;: &#34;")[2][:64] or page.partition(MARK)[2][:64]}


async def test_nobody_sees_a_page_before_signing_in(web: tuple[httpx.AsyncClient, Path]) -> None:
    client, _ = web
    answer = await client.get("/dashboard/models/m")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{SIGN_IN}?next=/dashboard/models/m")
    assert answer.headers["x-content-type-options"] == "nosniff", "as all answers"
    assert (await client.get("/dashboard/stream")).status_code == 303
    partly = await client.get("/dashboard", headers={"hx-request": "true"})
    assert (partly.status_code, partly.headers["hx-redirect"]) == (401, SIGN_IN)
    assert (await client.get(SIGN_IN)).status_code == 200
    wrong = await client.post(SIGN_IN, data={"token": "shipway_wrong"})
    assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
    poor = await client.post(SIGN_IN, data={"token": client.tokens["shop"]})  # type: ignore[attr-defined]
    assert poor.status_code == 403 and "lacks the scope" in poor.text
    for forged in ("x" * 43, "", "a;b", "x" * 5000):
        made = await client.get("/dashboard", headers={"cookie": f"{COOKIE}={forged}"})
        assert made.status_code == 303


async def test_who_may_only_look_gives_no_command(web: tuple[httpx.AsyncClient, Path], database: Database) -> None:
    client, _ = web
    page_token = await signed_in(client, "ann")
    page = (await client.get("/dashboard/models/m")).text
    assert "data-ask" not in page, "no button that would be refused"
    refused = await client.post("/dashboard/models/m/commands/freeze", headers=page_token)
    assert refused.status_code == 403 and "operate" in refused.json()["detail"]
    assert await _published(database) == []
    assert (await client.post("/dashboard/sign-out", headers=page_token)).status_code == 204
    assert (await client.get("/dashboard")).status_code == 303


async def test_another_sites_page_changes_nothing(web: tuple[httpx.AsyncClient, Path], database: Database) -> None:
    client, _ = web
    page_token = await signed_in(client, "bob")
    path = "/dashboard/models/m/commands/freeze"
    attempts: list[dict[str, str]] = [
        {},
        {"x-shipway-csrf": "0" * 64},
        page_token | {"origin": "https://evil.example"},
        page_token | {"sec-fetch-site": "cross-site"},
        page_token | {"sec-fetch-site": "same-site", "origin": f"http://{HOST}"},
        page_token | {"origin": "null"},
    ]
    for headers in attempts:
        assert (await client.post(path, headers=headers)).status_code == 403, headers
    assert await _published(database) == []
    good = page_token | {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
    assert (await client.post(path, headers=good)).status_code == 200
    assert len(await _published(database)) == 1


async def test_a_session_ends_with_its_token(
    web: tuple[httpx.AsyncClient, Path], database: Database, tmp_path: Path
) -> None:
    client, tokens = web
    await signed_in(client, "bob")
    cookie = client.cookies[COOKIE]
    without_bob = tmp_path / "others"
    without_bob.write_text("".join(line for line in tokens.read_text().splitlines(True) if '"bob"' not in line))
    app = dashboard(database, tmp_path, tokens=without_bob)  # as the guard is once the file has changed
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as later:
        assert (await later.get("/dashboard", headers={"cookie": f"{COOKIE}={cookie}"})).status_code == 303
        api = await later.get("/api/models", headers={"cookie": f"{COOKIE}={cookie}"})
        assert api.status_code == 401, "a session opens the dashboard alone"


async def test_a_session_opens_nothing_but_the_dashboard(web: tuple[httpx.AsyncClient, Path]) -> None:
    client, _ = web
    await signed_in(client, "bob")
    cookie = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    assert (await client.get("/api/models", headers=cookie)).status_code == 401
    silence = await client.post("/api/silences", headers=cookie, json={"lasts": "1h", "by": "x"})
    assert silence.status_code == 401


async def test_without_tokens_a_page_still_needs_its_own_mark(database: Database, tmp_path: Path) -> None:
    app = dashboard(database, tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client:
        assert (await client.post("/dashboard/silences", data={"lasts": "1h"})).status_code == 403
        assert (await client.get("/dashboard")).status_code == 200
        mark = csrf_of(client.cookies[COOKIE])
        made = await client.post("/dashboard/silences", data={"lasts": "1h"}, headers={"x-shipway-csrf": mark})
        assert made.status_code == 200
        assert (await client.get(SIGN_IN)).status_code == 303, "there is nothing to sign in with"
        stranger = await client.get("/dashboard", headers={"host": "evil.example"})
        assert stranger.status_code == 421


async def _published(database: Database) -> list[Any]:
    async with database.begin() as tx:
        return list((await tx.execute(sa.text("select topic, value, headers from outbox"))).all())
