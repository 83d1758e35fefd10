"""The middleware: who passes, what others are told, the headers of every answer, and tokens that change under way."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from shipway.contract.errors import Permanent
from shipway.runtime.access import Scope
from shipway.runtime.authsettings import AccessSettings, GuardedSettings
from shipway.runtime.guard import Guard, open_guard
from shipway.runtime.http import respond
from shipway.runtime.lifecycle import Life
from shipway.runtime.tokens import by_digest, create, digest_of, read_lines, revoke


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answers with the name of the token that asked."""
    own = [(b"cache-control", b"max-age=60")] if scope["path"] == "/kept" else []
    await respond(send, 200, str(scope.get("shipway.token")).encode(), own)


def client_of(guard: Guard) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(guard.around(app)), base_url="http://x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def token(path: Path) -> Callable[..., str]:
    """Makes a token: ``token("predict", "read")``."""

    def make(*scopes: Scope, name: str = "app", per_s: float | None = None) -> str:
        return create(path, name, scopes, requests_per_s=per_s)

    return make


def guard_of(path: Path, clock: Callable[[], float] = lambda: 0.0, **limits: Any) -> Guard:
    return Guard(AccessSettings(**limits), by_digest(read_lines(path).values()), clock=clock)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_request_needs_a_token_with_its_scope(path: Path, token: Callable[..., str]) -> None:
    given = token("predict", "read")
    client = client_of(guard_of(path))
    passed = await client.post("/predict/m", headers=bearer(given))
    assert (passed.status_code, passed.text) == (200, "app"), "the app learns who asked"
    assert (await client.get("/models", headers={"authorization": f"bearer {given}"})).status_code == 200
    lacking = await client.post("/feedback", headers=bearer(given))
    assert lacking.status_code == lacking.json()["status"] == 403
    assert lacking.headers["content-type"] == "application/problem+json"
    assert "'feedback'" in lacking.json()["detail"]
    assert 'scope="feedback"' in lacking.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer \xff\xfe", "Bearer " + "x" * 60_000]
)
async def test_who_has_no_token_is_not_let_in(path: Path, token: Callable[..., str], header: str | None) -> None:
    token("predict", "feedback", "operate", "read")
    headers: Any = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    client = client_of(guard_of(path))
    for method, where in (("POST", "/predict/m"), ("GET", "/models"), ("DELETE", "/x")):
        answer = await client.request(method, where, headers=headers)
        assert answer.status_code == answer.json()["status"] == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_tokens_hash_is_no_token(path: Path, token: Callable[..., str]) -> None:
    token("read")
    stolen = read_lines(path)["app"].sha256
    assert (await client_of(guard_of(path)).get("/models", headers=bearer(stolen))).status_code == 401


async def test_a_session_may_what_its_token_may_and_a_header_goes_first(path: Path, token: Callable[..., str]) -> None:
    reads, predicts = token("read"), token("predict", name="other")
    guard = guard_of(path)
    sessions = iter([digest_of(reads.encode()), digest_of(reads.encode()), digest_of(reads.encode()), b"x" * 32])
    guarded = guard.around(app)

    async def behind_a_door(scope: Any, receive: Any, send: Any) -> None:
        await guarded(scope | {"shipway.session": next(sessions)}, receive, send)

    client = httpx.AsyncClient(transport=httpx.ASGITransport(behind_a_door), base_url="http://x")
    looked = await client.get("/models")
    assert (looked.status_code, looked.text) == (200, "app")
    assert (await client.post("/models")).status_code == 403
    assert (await client.get("/models", headers=bearer(predicts))).status_code == 403
    assert (await client.get("/models")).status_code == 401, "a token that is not known"


def test_a_token_is_in_force_until_it_ends(path: Path) -> None:
    lasts = create(path, "lasts", ["read"])
    ended = create(path, "ended", ["read"], expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    guard = guard_of(path)
    assert guard.asks and not Guard(AccessSettings(), None).asks
    found = guard.in_force(digest_of(lasts.encode()))
    assert found is not None and found.name == "lasts"
    assert guard.in_force(digest_of(ended.encode())) is None
    assert guard.in_force(digest_of(b"other")) is None


async def test_health_and_figures_stay_open(path: Path, token: Callable[..., str]) -> None:
    token("read")
    client = client_of(guard_of(path))
    for where in ("/livez", "/readyz", "/metrics"):
        assert (await client.get(where)).status_code == 200


async def test_every_answer_has_the_security_headers(path: Path, token: Callable[..., str]) -> None:
    given = token("read")
    client = client_of(guard_of(path))
    for answer in (await client.get("/models"), await client.get("/models", headers=bearer(given))):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    kept = await client.get("/kept", headers=bearer(given))
    assert kept.headers.get_list("cache-control") == ["max-age=60"], "what the service says itself stays"


async def test_a_token_over_its_rate_is_told_when_to_come_again(path: Path, token: Callable[..., str]) -> None:
    fast, slow = token("read"), token("read", name="slow", per_s=0.25)
    now = 100.0
    client = client_of(guard_of(path, lambda: now, requests_per_s=2, burst=3))
    codes = [(await client.get("/models", headers=bearer(fast))).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    for _ in range(3):
        assert (await client.get("/models", headers=bearer(slow))).status_code == 200, "each token has its own"
    refused = await client.get("/models", headers=bearer(slow))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "4")
    now += 0.5
    assert (await client.get("/models", headers=bearer(fast))).status_code == 200


async def test_a_change_of_the_file_takes_effect_and_a_wrong_one_changes_nothing(
    path: Path, token: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipway.runtime.guard.LOOK_EVERY_S", 0.01)
    first = token("read")
    life = Life("t")
    client = client_of(open_guard(life, AccessSettings(tokens_file=path)))

    async def until(given: str, status: int) -> None:
        async with asyncio.timeout(5):
            while (await client.get("/models", headers=bearer(given))).status_code != status:
                await asyncio.sleep(0.01)

    second = token("read", name="second")
    await until(second, 200)
    with capture_logs() as logs:
        with path.open("ab") as file:
            file.write(b"{\n")
        async with asyncio.timeout(5):
            while not any("stay as they were" in line["event"] for line in logs):
                await asyncio.sleep(0.01)
    await until(first, 200)
    path.write_bytes(path.read_bytes().removesuffix(b"{\n"))
    revoke(path, "app")
    await until(first, 401)
    await until(second, 200)
    life.stop()
    await life._cancel_loops()


def test_a_service_that_others_can_reach_does_not_start_without_tokens(
    path: Path, token: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for near in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("SHIPWAY__HTTP__HOST", near)
        assert GuardedSettings.load().auth.tokens_file is None
    for far in ("0.0.0.0", "::", "10.0.0.1", "gateway"):
        monkeypatch.setenv("SHIPWAY__HTTP__HOST", far)
        with pytest.raises(SystemExit):
            GuardedSettings.load()
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "AUTH__TOKENS_FILE" in said
    monkeypatch.setenv("SHIPWAY__AUTH__TOKENS_FILE", str(path))
    with pytest.raises(SystemExit):
        GuardedSettings.load()
    assert str(path) in capsys.readouterr().err, "a file that is not there"
    token("read")
    assert GuardedSettings.load().auth.tokens_file == path
    monkeypatch.delenv("SHIPWAY__AUTH__TOKENS_FILE")
    monkeypatch.setenv("SHIPWAY__AUTH__OFF", "true")
    assert GuardedSettings.load().auth.off


def test_a_shared_variable_of_another_service_is_no_mistake_and_a_wrong_name_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHIPWAY__AUTH__OPERATOR_KEY", "k" * 40)
    GuardedSettings.load()
    monkeypatch.setenv("SHIPWAY__AUTH__TOKEN_FILE", "/tokens")
    with pytest.raises(SystemExit):
        GuardedSettings.load()
    assert "TOKEN_FILE" in capsys.readouterr().err


async def test_without_tokens_there_is_one_warning(path: Path) -> None:
    with capture_logs() as logs:
        guard = open_guard(Life("t"), AccessSettings())
    assert [line["log_level"] for line in logs] == ["warning"]
    assert (await client_of(guard).post("/predict/m")).status_code == 200
    with pytest.raises(Permanent):
        read_lines(path)
