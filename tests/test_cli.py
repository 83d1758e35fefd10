"""The command, as a user types it, and the guide to a model of one's own, followed to the letter."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import read_json, shipway
from docblocks import Guide
from world import World, eventually, features_of, make_rows

from shipway.bundle.store import read_bundle
from shipway.contract import events as e
from shipway.contract.topics import TRAINING_REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.timeout(180)
async def test_the_guide_to_your_own_model(guide: Guide) -> None:
    said = "\n".join(guide.said)
    assert "is fine" in said and "declared" in said
    assert "passed champion" in said and "serving" in said
    prices = [float(price) for price in re.findall(r"\b(\d{5,6}(?:\.\d+)?)\b", said)]
    assert prices and all(80_000 < price < 170_000 for price in prices[-2:])


@pytest.mark.slow
async def test_looking_around(shipway_world: World) -> None:
    await shipway_world.declare("looked-at")
    journey = await read_json(shipway_world, "train", "looked-at", "--wait")
    assert (journey["state"], journey["version"], journey["succeeded"]) == ("serving", 1, True)
    row = features_of(make_rows("binary", 1, seed=4)[0])
    pairs = [f"{name}={json.dumps(value)}" for name, value in row.items()]
    assert (await read_json(shipway_world, "predict", "looked-at", *pairs))["version"] == 1
    why = await shipway(shipway_world, "predict", "looked-at", *pairs, "--explain")
    assert "raw score" in why and all(name in why for name in (*row, "base"))
    await shipway_world.all_in_history("looked-at")
    page, w = shipway_world.folder / "report.html", shipway_world
    # None waits for another: so much is asked that a process after the other would take half a minute.
    (
        history,
        history_said,
        record,
        followed,
        shown,
        models,
        report,
        report_said,
        written,
        unknown,
    ) = await asyncio.gather(
        read_json(w, "predictions", "history", "looked-at"),
        shipway(w, "predictions", "history", "looked-at"),
        read_json(w, "predictions", "tail", "looked-at", "--from-start", "-n", "1"),
        shipway(w, "predictions", "tail", "looked-at", "--from-start", "-n", "1"),
        read_json(w, "model", "show", "looked-at"),
        read_json(w, "model", "list"),
        read_json(w, "report", "looked-at", "1"),
        shipway(w, "report", "looked-at", "1"),
        shipway(w, "report", "looked-at", "1", "--out", str(page)),
        shipway(w, "report", "looked-at", "9", expect=2),
    )
    filed, compared, compared_said, status, status_said, health, levels = await asyncio.gather(
        read_json(w, "predictions", "history", "looked-at", "--day", history["files"][-1]["day"]),
        read_json(w, "compare", "looked-at", "1", "1"),
        shipway(w, "compare", "looked-at", "1", "1"),
        read_json(w, "status"),
        shipway(w, "status"),
        read_json(w, "doctor"),
        shipway(w, "levels", "looked-at"),
    )
    assert sum(file["rows"] for file in filed["files"]) == 2 and filed["waiting_rows"] == 0
    assert "2 records in " in history_said
    assert record["features"] == pytest.approx(row) and record["outcome"] == "answered"
    assert "v1" in followed and f"flag={row['flag']}" in followed and record["prediction_id"][:8] in followed
    assert shown["champion"] == 1
    assert all(gate["reason"] for gate in shown["versions"][0]["gates"])
    assert "looked-at" in [m["name"] for m in models]
    assert report["approved"] and len(report["gates"]) == len(shown["versions"][0]["gates"])
    assert report["data"]["windows"]["train"]["rows"] == shown["versions"][0]["training_rows"]
    assert "holdout-overlap" in report_said
    assert str(page) in written
    assert page.read_text().count("<svg") >= 5
    assert "is not known here" in unknown
    assert compared["same_holdout"] and {row["name"] for row in compared["metrics"]} == {"auc", "log_loss", "accuracy"}
    assert "approved" in compared_said
    assert {s["name"] for s in status["services"] if s["ready"]} >= {"gateway", "monitor", "predictor-1", "predictor-2"}
    assert all(f["well"] for f in health)
    assert "looked-at" in status_said
    assert "training requests" in levels and "1 of 1" in levels
    await _its_model_is_imported_as_if_from_elsewhere(shipway_world, shown["versions"][0]["digest"], row)


async def _its_model_is_imported_as_if_from_elsewhere(world: World, digest: str, row: dict[str, Any]) -> None:
    bundle = await asyncio.to_thread(read_bundle, world.store, digest)
    model, signature = world.folder / "model.txt", world.folder / "signature.json"
    model.write_bytes(bundle.model_text)
    named = json.loads(bundle.files["signature.json"])
    signature.write_text(json.dumps(named | {"target": "z"}))
    given = ("import", "looked-at", str(model), "--signature", str(signature), "--wait")
    assert "signature.output: predicts 'z'" in await shipway(world, *given, expect=1)
    signature.write_text(json.dumps(named))
    imported = await read_json(world, *given)
    assert (imported["state"], imported["version"]) == ("serving", 2), imported
    assert (await world.event(e.TrainingCompleted, model="looked-at", version=2)).origin == "import"
    stability = next(gate for gate in imported["gates"] if gate["name"] == "stability")
    assert stability["passed"] and "trained elsewhere" in stability["reason"]
    assert (await world.shipway.predict("looked-at", [row])).version == 2


@pytest.mark.timeout(180)
async def test_a_hand_on_releases(shipway_world: World) -> None:
    await shipway_world.declare("by-hand", release__approval="manual", release__canary=[])

    async def approved(version: int) -> bool:
        await shipway_world.event(e.ModelApproved, model="by-hand", version=version)
        answer = await shipway_world.shipway.command("by-hand", "approve", version=version, reason="seen")
        return answer.done

    for version in (1, 2):
        await read_json(shipway_world, "train", "by-hand")
        await eventually(lambda version=version: approved(version), "it waits for approval, and is approved")  # type: ignore[misc]
        await shipway_world.event(e.ReleasePromoted, model="by-hand", version=version)
    frozen = await read_json(shipway_world, "freeze", "by-hand", "--reason", "holidays")
    assert (frozen["done"], frozen["reason"]) == (True, "holidays")
    refused = await shipway(shipway_world, "retire", "by-hand", "2", expect=2)
    assert "version 2 is needed: it is champion" in refused and "Traceback" not in refused
    row = features_of(make_rows("binary", 1, seed=4)[0])

    async def back() -> bool:
        return (await shipway_world.shipway.predict("by-hand", [row])).version == 1

    assert "version 1 is the champion again" in await shipway(shipway_world, "rollback", "by-hand", "--reason", "bad")
    await eventually(back, "the last good version answers again", within_s=5)
    assert "no version of nobodys was ever approved" in await shipway(shipway_world, "freeze", "nobodys", expect=2)


async def test_dead_letters_are_listed_shown_and_sent_again(shipway_world: World) -> None:
    async with shipway_world.producer() as producer:
        await producer.send(TRAINING_REQUESTS.name, b"m", b"not an event", [("ce_type", b"of-a-stranger")])

    async def letters(n: int) -> list[Any]:
        found = [x for x in await read_json(shipway_world, "dead-letters", "list") if x["type"] == "of-a-stranger"]
        return found if len(found) >= n else []

    refused = len(set(TRAINING_REQUESTS.consumers))
    listed = await eventually(lambda: letters(refused), "every consumer has refused it")
    of_trainer = next(x for x in listed if x["service"] == "trainer")
    assert "of-a-stranger" in of_trainer["reason"] and of_trainer["topic"] == TRAINING_REQUESTS.name
    named = str(of_trainer["id"])
    assert "not an event" in await shipway(shipway_world, "dead-letters", "show", named)
    said = await shipway(shipway_world, "dead-letters", "redrive", named, "999999", expect=2)
    assert "sent again: 1;" in said and "999999: there is no dead letter" in said
    await eventually(lambda: letters(2 * refused), "it was refused again")
    again = await read_json(shipway_world, "dead-letters", "show", named)
    assert again["sent_again_at"] and again["sent_again_by"], "as the dashboard has it"


async def test_wrong_input_is_said_in_a_line(shipway_world: World, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('name = "X"\n')
    said = await shipway(shipway_world, "model", "declare", str(tmp_path / "bad.toml"), expect=2)
    assert "retirement" in said and "Traceback" not in said
    said = await shipway(shipway_world, "predict", "no-such-model", "a=1", expect=2)
    assert "not served" in said and "Traceback" not in said
    assert "must be name=value" in await shipway(shipway_world, "predict", "x", "a", expect=2)


async def test_what_does_not_answer_is_said_with_the_remedy(tmp_path: Path) -> None:
    nowhere = ("--data", str(tmp_path), "--kafka", "127.0.0.1:9")
    said = await shipway(None, "train", "x", *nowhere, expect=3)
    assert "Kafka at 127.0.0.1:9:" in said and "shipway up" in said and "[error" not in said
    no_http = ("--gateway", "http://127.0.0.1:9", "--monitor", "http://127.0.0.1:9")
    assert "shipway up" in await shipway(None, "doctor", *nowhere, *no_http, expect=3)
    said = await shipway(None, "status", "--data", str(tmp_path), *no_http, expect=3)
    assert "shipway up" in said and "instances\n" not in said, "what could not be asked for is no empty table"


async def test_every_setting_is_described() -> None:
    described = json.loads(await shipway(None, "config", "--json"))
    assert set(described) == {"trainer", "evaluator", "releaser", "predictor", "gateway", "monitor"}
    undescribed = [s["variable"] for settings in described.values() for s in settings if not s["description"]]
    assert undescribed == []


async def test_generated_documents_are_up_to_date(root: Path) -> None:
    made = await asyncio.create_subprocess_exec(sys.executable, "-m", "shipway.cli.generate", "--check", cwd=root)
    assert await made.wait() == 0
