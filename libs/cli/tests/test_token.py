"""shipway token: what is printed, what is kept, and what a typo is told; and how the client carries a token."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from shipway.cli.app import app
from shipway.client import Addresses, AsyncShipway, Refused, ShipwayError
from shipway.contract.errors import Permanent
from shipway.runtime.tokens import by_digest, digest_of, read_lines


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs ``shipway token ...`` on a tokens file of the test's own."""
    monkeypatch.setenv("SHIPWAY__AUTH__TOKENS_FILE", str(tmp_path / "tokens"))
    monkeypatch.delenv("SHIPWAY_TOKEN", raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["token", *arguments])


def test_a_token_is_printed_once_and_alone(run: Callable[..., Result], tmp_path: Path) -> None:
    made = run("create", "web", "--scope", "predict", "--scope", "read", "--expires", "90d", "--requests-per-s", "5")
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert made.stdout.count("\n") == 1, "so that it can be put into a variable"
    (known,) = by_digest(read_lines(tmp_path / "tokens").values()).items()
    assert known[0] == digest_of(token.encode())
    assert known[1].scopes == {"predict", "read"}
    listed = run("list", "--json")
    assert [(t["name"], t["scopes"]) for t in json.loads(listed.stdout)] == [("web", ["predict", "read"])]
    assert token not in listed.stdout + run("list").stdout
    assert run("revoke", "web").exit_code == 0
    assert json.loads(run("list", "--json").stdout) == []


WRONG = [
    (["create", "web", "--scope", "admin"], "predict, feedback, operate, read"),
    (["create", "web", "--scope", "read", "--expires", "soon"], "duration"),
    (["create", "web"], "--scope"),
    (["create", "A B", "--scope", "read"], "lower-case"),
    (["revoke", "nobody"], "no such file"),
]


@pytest.mark.parametrize(("arguments", "remedy"), WRONG)
def test_a_typo_is_told_the_remedy(run: Callable[..., Result], arguments: list[str], remedy: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    told = str(result.exception) if isinstance(result.exception, Permanent) else result.output
    assert remedy.lower() in told.lower()


def test_the_client_sends_its_token_and_shows_it_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(403, json={"status": 403, "detail": "the token lacks the scope 'read'"})

    async def ask(where: Addresses) -> None:
        async with AsyncShipway(where) as shipway:
            shipway._http._transport = httpx.MockTransport(answer)
            with pytest.raises(Refused, match="lacks the scope"):
                await shipway.models()

    monkeypatch.delenv("SHIPWAY_TOKEN", raising=False)
    asyncio.run(ask(Addresses()))
    asyncio.run(ask(Addresses(token="given")))
    monkeypatch.setenv("SHIPWAY_TOKEN", "from-the-environment\n")
    where = Addresses()
    asyncio.run(ask(where))
    assert seen == [None, "Bearer given", "Bearer from-the-environment"]
    assert "from-the-environment" not in repr(where)


@pytest.mark.parametrize("token", ["a\r\nx: y", "é", "a\x00"])
def test_a_token_that_is_none_is_refused_before_it_is_sent(token: str) -> None:
    with pytest.raises(ShipwayError, match="SHIPWAY_TOKEN"):
        AsyncShipway(Addresses(token=token))


def test_the_option_is_for_every_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHIPWAY_TOKEN", "")  # set, so that it is put back
    found: list[Any] = []
    monkeypatch.setattr("shipway.cli.models.Shipway", lambda where: found.append(where))
    CliRunner().invoke(app, ["--token", "given", "model", "list", "--data", str(tmp_path)])
    assert [where.token for where in found] == ["given"]
