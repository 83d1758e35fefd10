"""An operator's day in a real Chromium, on a whole Shipway of real processes: nothing is played, all is clicked.

With tokens and an operator key: what is clicked goes signed over Kafka to the services, and what they say comes back.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dashboard.test_browser import watched
from playwright.async_api import Browser, Page, expect
from world import LAST, QUICK, World, features_of, make_rows, world

from shipway.bundle.store import read_bundle
from shipway.contract import events as e
from shipway.runtime import tokens

OPERATOR_KEY = "an-operator-key-of-more-than-32-characters"
MODEL = "day"
BY_HAND = {"approval": "manual", "min_instances": 1, "canary": [0.5], "step": "10m", "min_requests": 0}
SEARCHED = {
    "trials": 3,
    "candidates": 1,
    "space": {"num_leaves": {"min": 4, "max": 15}, "learning_rate": {"min": 0.1, "max": 0.3}},
}
# It would take hours: each tree of dart looks at all before it.
LONG = {"rounds": 20_000, "threads": 1, "early_stopping_rounds": None, "params": {"boosting": "dart", "num_leaves": 63}}
SOON_MS = 60_000
CHOSEN = ("kind", "lasts", "stage")


class Operator:
    """Somebody at a page of the model's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.told = page.locator("#told")

    async def go(self, path: str) -> None:
        await self.page.goto(f"/dashboard{path}")

    async def press(self, button: str | re.Pattern[str], /, *says: str, good: bool = True, **fields: str) -> None:
        """Presses a button as soon as it is there, fills its form in, confirms, and waits for what became of it."""
        await self.page.evaluate("document.getElementById('told').replaceChildren()")
        await self.page.get_by_role("button", name=button, exact=True).first.click(timeout=SOON_MS)
        dialog = self.page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        for name, value in fields.items():
            field = dialog.locator(f"[name={name}]")
            await (field.select_option(value) if name in CHOSEN else field.fill(value))
        await dialog.locator("button[type=submit]").click()
        answer = self.told.locator(".good" if good else ".bad")
        await expect(answer).to_be_visible(timeout=SOON_MS)
        for words in says:
            await expect(answer).to_contain_text(words)

    async def sees(self, words: str | re.Pattern[str]) -> None:
        """Waits until the page shows it, by itself."""
        await expect(self.page.get_by_role("heading", name=words).first).to_be_visible(timeout=SOON_MS)


@pytest.fixture
async def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, str]]:
    """A whole Shipway that asks for tokens and signed commands, and the token of an operator."""
    file = tmp_path / "tokens.jsonl"
    client = tokens.create(file, "tests", ["predict", "feedback", "read"])
    bob = tokens.create(file, "bob", ["read", "operate"])
    monkeypatch.setenv("SHIPWAY__AUTH__TOKENS_FILE", str(file))
    monkeypatch.setenv("SHIPWAY__AUTH__OPERATOR_KEY", OPERATOR_KEY)
    monkeypatch.setenv("SHIPWAY_TOKEN", client)
    trainer = {"SHIPWAY_MONITOR__DASHBOARD__TRAINER_TOKEN": client, "SHIPWAY_MONITOR__LEVELS_BEAT_S": "1"}
    async with world(tmp_path / "stack", predictors=1, env=QUICK | trainer) as shipway:
        yield shipway, bob


@pytest.mark.timeout(240)
async def test_an_operators_day(guarded: tuple[World, str], browser: Browser, tmp_path: Path) -> None:
    running, token = guarded
    context = await browser.new_context(
        base_url=running.shipway.addresses.monitor, viewport={"width": 1280, "height": 900}
    )
    page = await context.new_page()
    page.set_default_timeout(20_000)
    bob, complaints = Operator(page), watched(page)
    await running.declare(MODEL, release__min_instances=1, search=SEARCHED)
    await bob.go("/sign-in")
    await page.get_by_label("API token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("heading", name=MODEL).get_by_role("link").click()

    await _trains_and_watches(bob)
    await _predictions_come(running)
    await running.declare(MODEL, release=BY_HAND, search=SEARCHED)
    await _holds_promotes_and_goes_back(bob)
    await _imports(bob, running, tmp_path)
    await _searches(bob)
    await _replays(bob)
    await _retires_restores_and_pins(bob)
    await _cancels_and_runs_again(bob, running)
    await _looks_after_what_was_refused(bob, running)
    await _looks_things_up(bob)
    await _labels_and_forgets(bob)
    # What was refused answers 422, which the browser says, too.
    assert [line for line in complaints if "422" not in line] == []
    given = {one.requested_by for one in running.recorder.payloads(e.CommandAnswered, model=MODEL)}
    assert given == {"bob (dashboard)"}
    await context.close()


async def _trains_and_watches(bob: Operator) -> None:
    """It is released by rule, and the page says so by itself."""
    await bob.press("Train", "accepted", until=f"{LAST:%Y-%m-%d}", reason="the first")
    await bob.sees("In service: version 1")
    await bob.page.get_by_role("region", name="table of trainings").get_by_role("link").first.click()
    await bob.sees(re.compile("Job .* trained"))
    await expect(bob.page.get_by_text("asked for by bob (dashboard): the first")).to_be_visible()
    stages = bob.page.get_by_role("region", name="table of stages")
    await expect(stages.get_by_text("done")).to_have_count(7)
    await stages.get_by_role("link", name="log of train").click()
    await bob.sees("The end of the log of train")


async def _predictions_come(running: World) -> None:
    rows = [features_of(row) for row in make_rows("binary", 60)]
    names = [f"{'ann' if i % 3 else 'eve'}/{i}" for i in range(len(rows))]
    answer = await running.shipway.predict(MODEL, rows, client_ids=names)
    assert answer.version == 1


async def _holds_promotes_and_goes_back(bob: Operator) -> None:
    await bob.go(f"/models/{MODEL}")
    await bob.press("Train", "accepted", reason="newer data")
    await bob.press("Approve version 2", reason="seen")
    await bob.sees("Rollout of version 2")
    await bob.press("Hold version 2", reason="wait for the others")
    await expect(bob.page.get_by_text("on hold").first).to_be_visible()
    await bob.press("Resume version 2")
    await expect(bob.page.locator(".shares")).to_contain_text("50 % of the traffic", timeout=SOON_MS)
    await bob.press("Promote version 2", reason="good enough")
    await bob.sees("In service: version 2")
    await bob.press("Freeze", reason="a holiday")
    await bob.press("Unfreeze")
    await bob.press("Roll back version 2", reason="the shop complains")
    await bob.sees("In service: version 1")


async def _imports(bob: Operator, running: World, folder: Path) -> None:
    """The champion's own files, as if from elsewhere; one that is no model is refused at once."""
    digest = running.recorder.payloads(e.TrainingCompleted, model=MODEL, version=1)[0].digest
    bundle = await asyncio.to_thread(read_bundle, running.store, digest)
    (folder / "model.txt").write_bytes(bundle.model_text)
    (folder / "signature.json").write_bytes(bundle.files["signature.json"])
    await _sends(bob, folder / "tokens.jsonl", folder / "signature.json")
    await expect(bob.told.locator(".bad")).to_contain_text("model.txt: is not a model in LightGBM's text format")
    await _sends(bob, folder / "model.txt", folder / "signature.json")
    await expect(bob.told.locator(".good")).to_contain_text("accepted")
    await bob.press("Approve version 3", reason="made by the other team")
    await bob.press("Promote version 3")
    await bob.sees("In service: version 3")


async def _sends(bob: Operator, model: Path, signature: Path) -> None:
    await bob.page.get_by_role("button", name="Import", exact=True).click()
    dialog = bob.page.get_by_role("dialog")
    await dialog.get_by_label("model.txt").set_input_files(model)
    await dialog.get_by_label("signature.json").set_input_files(signature)
    await dialog.get_by_label("why, for the record").fill("from elsewhere")
    await dialog.locator("button[type=submit]").click()


async def _searches(bob: Operator) -> None:
    await bob.press("Search", "accepted", trials="2", reason="better parameters")
    await bob.press("Approve version 4", reason="they look right")
    await bob.press("Promote version 4")
    await bob.sees("In service: version 4")
    await bob.go(f"/jobs?model={MODEL}&state=searched")
    await bob.page.get_by_role("region", name="jobs, a table").get_by_role("link").first.click()
    await expect(bob.page.get_by_role("region", name="table of trials").get_by_role("row")).to_have_count(3)


async def _replays(bob: Operator) -> None:
    """Version 4 is asked what version 1 was asked; more than may be asked for is refused with the reason."""
    await bob.go(f"/models/{MODEL}/versions/4")
    await bob.press(
        "Replay version 4", "no replay: limit: 9,000,000 predictions are asked for", good=False, limit="9000000"
    )
    await bob.press("Replay version 4", "60 predictions asked again", days="1", reason="how far apart are they?")
    card = bob.page.get_by_role("region", name="Asked what others were asked")
    await expect(card).to_contain_text("asked for by bob (dashboard): how far apart are they?")
    await expect(card.get_by_role("region", name="figures of the replay")).to_contain_text("p50 latency")
    await expect(card).to_contain_text("answered 60 by version 1")
    await expect(card.get_by_text("failed")).to_have_count(1)


async def _retires_restores_and_pins(bob: Operator) -> None:
    await bob.go(f"/models/{MODEL}/compare?a=1&b=4")
    await bob.sees("Gates")
    await bob.go(f"/models/{MODEL}/versions/1")
    await bob.press("Retire version 1", reason="two are newer")
    await bob.sees(re.compile("Version 1 retired"))
    await bob.press("Restore version 1", reason="to go back to")
    await bob.sees(re.compile("Version 1 standby pinned"))
    await bob.press("Retire version 1", "is pinned", "unpin it first", good=False)
    await bob.press("Unpin version 1", "version 1 may go by rule")
    await bob.go(f"/models/{MODEL}")
    await bob.press("Pin version 4", "version 4 is kept until it is unpinned", reason="the audit needs it")
    rows = bob.page.get_by_role("region", name="table of versions").get_by_role("row")
    row = rows.filter(has=bob.page.locator(".state.pinned"))
    await expect(row).to_contain_text("champion")
    await bob.press("Unpin version 4", "version 4 may go by rule")
    await expect(row).to_have_count(0)


async def _cancels_and_runs_again(bob: Operator, running: World) -> None:
    """A training that takes too long is ended, run again from its first stage, and ended for good."""
    await running.declare("long", training=LONG)
    await bob.go("")
    await bob.page.get_by_role("heading", name="long").get_by_role("link").click(timeout=SOON_MS)
    await bob.press("Train", "accepted", reason="more trees")
    await bob.told.get_by_role("link", name="see").click()
    stages = bob.page.get_by_role("region", name="table of stages").get_by_role("row")
    await expect(stages.filter(has_text="train").filter(has_text="running")).to_be_visible(timeout=SOON_MS)
    await bob.press(re.compile("^Cancel "), "ended: cancelled by bob (dashboard)")
    await bob.sees(re.compile("Job .* failed"))
    await bob.press(re.compile("^Retry "), "runs again", stage="get-data")
    await expect(stages.filter(has_text="get-data")).to_contain_text("done", timeout=SOON_MS)
    await expect(stages.filter(has_text="train").filter(has_text="running")).to_be_visible(timeout=SOON_MS)
    await bob.press(re.compile("^Cancel "), "ended: cancelled by bob (dashboard)")


async def _looks_after_what_was_refused(bob: Operator, running: World) -> None:
    """A program's own request that no trainer takes: an alert, and a letter that goes again once and comes back."""
    await running.publish(e.TrainingRequested(model="No such name", request_id="bad", requested_by="a script"))
    await bob.go("/alerts")
    await bob.press("Acknowledge dead letters trainer of *", reason="asked the script's owner")
    await expect(bob.page.get_by_text("looked after by bob (dashboard): asked the script's owner")).to_be_visible()
    await bob.press("Silence for all models", "dead letters of every model", kind="dead_letters", lasts="1h")
    await bob.sees("Silences")
    await bob.press(re.compile("^End silence"), "the silence is over")
    await bob.go("/dead-letters?service=trainer")
    await expect(bob.page.get_by_role("button", name=re.compile("^Send letter"))).to_have_count(1)
    await bob.press(re.compile("^Send letter"), "sent again to shipway.training-requests")
    letters = bob.page.get_by_role("button", name=re.compile("^Send letter"))
    await expect(letters).to_have_count(2, timeout=SOON_MS)
    await bob.press("Send all again", "sent again: 1")
    await expect(letters).to_have_count(3, timeout=SOON_MS)
    await bob.page.get_by_role("region", name="dead letters, a table").get_by_role("link").first.click()
    await bob.sees(re.compile("Dead letter"))
    await expect(bob.page.get_by_text("No such name").first).to_be_visible()


async def _looks_things_up(bob: Operator) -> None:
    """What is only looked at: a report, what came of one request, what instances hold, what is declared."""
    await bob.go(f"/models/{MODEL}/versions/4")
    await bob.page.get_by_role("link", name="full report").click()
    await bob.sees(re.compile(f"{MODEL} version 4"))
    await bob.go(f"/events?model={MODEL}&type=shipway.ReleasePromoted.v1")
    last = bob.page.get_by_role("listitem").filter(has_text="version 4").first
    await last.locator("summary").click()
    await last.get_by_role("link", name="its trace").click()
    await expect(bob.page.get_by_text("One trace: everything that came of one request")).to_be_visible()
    await expect(
        bob.page.get_by_text("training asked for").or_(bob.page.get_by_text("version 4 approved")).first
    ).to_be_visible()
    await bob.go("/instances")
    await expect(bob.page.get_by_role("region", name="table of gateways").get_by_text(MODEL)).to_be_visible()
    await bob.go(f"/models/{MODEL}/declared")
    await expect(bob.page.get_by_text("approval").first).to_be_visible()


async def _labels_and_forgets(bob: Operator) -> None:
    await bob.go(f"/models/{MODEL}/predictions?last=200")
    rows = bob.page.get_by_role("region", name="table of predictions").get_by_role("row")
    await expect(rows).to_have_count(61, timeout=SOON_MS)
    await bob.press(re.compile("^Label "), "label taken: true", label="true")
    await bob.press("Forget a subject", f"confirm: must be the model's name, {MODEL}", good=False, subject="ann")
    await bob.press("Forget a subject", "gone: 40 predictions", subject="ann", reason="she asked", confirm=MODEL)
    await bob.go(f"/models/{MODEL}/predictions?last=200")
    await expect(rows).to_have_count(21)
    await expect(bob.page.get_by_text("ann/")).to_have_count(0)
