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


@pytest.mark.timeout(240)
async def test_every_door_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens.jsonl"
    given = tokens.create(file, "tests", ["predict", "feedback", "read"])
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
        ):
            answer = await nobody.request(method, url)
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
