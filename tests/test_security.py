"""A stack with tokens and an operator key: who has none is refused at every door, who has them is not."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from world import World, eventually, features_of, make_rows, problem, world

from shipway.client import AsyncShipway, Refused
from shipway.contract import events as e
from shipway.contract import topics
from shipway.runtime import tokens

pytestmark = pytest.mark.asyncio(loop_scope="session")
OPERATOR_KEY = "an-operator-key-of-more-than-32-characters"


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_door_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens.jsonl"
    given = tokens.create(file, "tests", ["predict", "feedback", "read"])
    operator = tokens.create(file, "bob", ["read", "operate"])
    monkeypatch.setenv("SHIPWAY__AUTH__TOKENS_FILE", str(file))
    monkeypatch.setenv("SHIPWAY__AUTH__OPERATOR_KEY", OPERATOR_KEY)
    monkeypatch.setenv("SHIPWAY_TOKEN", given)
    async with world(tmp_path / "stack", predictors=1) as shipway:
        await shipway.declare("guarded", release__min_instances=1)
        assert (await shipway.train("guarded")).succeeded
        row = features_of(make_rows("binary", 1)[0])
        assert (await shipway.shipway.predict("guarded", [row])).version == 1
        assert [m["name"] for m in await shipway.shipway.models()] == ["guarded"]
        await _without_a_token(shipway)
        await _commands(shipway)
        await _dashboard(shipway, operator)
        tokens.revoke(file, "tests")

        async def refused() -> bool:
            try:
                await shipway.shipway.predict("guarded", [row])
            except Refused as err:
                return err.status == 401
            return False

        await eventually(refused, "a revoked token is refused", within_s=10)
        logs = [path.read_text() for path in (tmp_path / "stack" / "logs").glob("*.log")]
        assert logs and not any(secret in text for text in logs for secret in (given, OPERATOR_KEY))


async def _without_a_token(shipway: World) -> None:
    monitor = shipway.shipway.addresses.monitor
    async with httpx.AsyncClient() as nobody:
        for method, url in (
            ("POST", f"{shipway.gateway}/predict/guarded"),
            ("POST", f"{shipway.gateway}/feedback"),
            ("GET", f"{shipway.gateway}/instances"),
            ("GET", f"{shipway.gateway}/openapi.json"),
            ("GET", f"{monitor}/api/events"),
            ("GET", f"{monitor}/docs"),
            ("POST", f"{monitor}/dashboard/models/guarded/commands/freeze"),
        ):
            answer = await nobody.request(method, url)
            if "/dashboard/" in url:
                assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
                continue
            assert (answer.status_code, problem(answer)["status"]) == (401, 401), url
            assert "server" not in answer.headers
        for url in (f"{shipway.gateway}/readyz", f"{monitor}/readyz", f"{shipway.gateway}/metrics"):
            assert (await nobody.get(url)).status_code == 200, url


async def _commands(shipway: World) -> None:
    """One without and one with a signature; the trainer obeys the second alone."""
    where = shipway.shipway.addresses
    assert where.operator_key == OPERATOR_KEY
    async with AsyncShipway(replace(where, operator_key=None)) as stranger:
        await stranger.cancel("guarded", "by-a-stranger")
    await shipway.shipway.cancel("guarded", "by-an-operator")
    letter = await shipway.event(e.DeadLettered, service="trainer", topic=topics.OPERATOR_COMMANDS.name)
    assert "not signed" in letter.reason
    assert b"by-a-stranger" in (letter.value or b"")

    async def obeyed() -> bool:
        text = await asyncio.to_thread((shipway.folder / "logs" / "trainer.log").read_text)
        return any("event handled" in line and "TrainingCancelRequested" in line for line in text.splitlines())

    await eventually(obeyed, "the signed command is handled")
    letters = shipway.recorder.payloads(e.DeadLettered, service="trainer", topic=topics.OPERATOR_COMMANDS.name)
    assert len(letters) == 1


async def _dashboard(shipway: World, operator: str) -> None:
    """Signed in with a token, a person sees the pages, and freezes the model: the releaser obeys what is signed so."""
    url = shipway.shipway.addresses.monitor
    async with httpx.AsyncClient(base_url=url, follow_redirects=True) as browser:
        page = await browser.post("/dashboard/sign-in", data={"token": operator})
        assert page.status_code == 200 and "/dashboard/models/guarded" in page.text
        for path in ("/models/guarded", "/models/guarded/versions/1", "/alerts", "/events", "/instances"):
            assert (await browser.get(f"/dashboard{path}")).status_code == 200, path
        mark = {"x-shipway-csrf": page.text.partition('"X-Shipway-Csrf": "')[2][:64]}
        assert (await browser.post("/dashboard/models/guarded/commands/freeze")).status_code == 403
        asked = await browser.post(
            "/dashboard/models/guarded/commands/freeze", data={"reason": "for the test"}, headers=mark
        )
        outcome = asked.text.partition('hx-get="')[2].partition("?")[0]

        async def answered() -> bool:
            return "until it is unfrozen" in (await browser.get(outcome)).text

        await eventually(answered, "the releaser obeys what the dashboard asked for")
        said = await shipway.event(e.CommandAnswered, model="guarded", action="freeze")
        assert (said.requested_by, said.reason) == ("bob (dashboard)", "for the test")

        async def kept() -> bool:
            return "not signed" in (await browser.get("/dashboard/dead-letters")).text

        await eventually(kept, "the stranger's command is among the dead letters")
