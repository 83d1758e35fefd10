"""The dashboard in a real Chromium: what the command line does, by clicks; live, accessible, by keyboard, on phones."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from axe_playwright_python.async_playwright import Axe
from dashboard.conftest import Room
from playwright.async_api import Page, expect

from shipway.contract.envelope import decode
from shipway.contract.events import OperatorCommand
from shipway.monitor import tables as t

Opened = Callable[..., Awaitable[Page]]
DRAWN = "document.querySelectorAll('[data-plot]').length === document.querySelectorAll('.uplot').length"
PATHS = (
    "/dashboard",
    "/dashboard/models/flights",
    "/dashboard/models/churn?span=7 d",
    "/dashboard/models/returns",
    "/dashboard/models/flights/versions/3",
    "/dashboard/alerts",
    "/dashboard/events",
    "/dashboard/instances",
    "/dashboard/dead-letters",
    "/dashboard/dead-letters/1",
    "/dashboard/jobs",
    "/dashboard/jobs/JOB",
    "/dashboard/models/flights/compare?a=2&b=3",
    "/dashboard/models/flights/declared",
    "/dashboard/models/flights/predictions",
    "/dashboard/models/none",
)


def watched(page: Page) -> list[str]:
    """What the browser complains of from now on: errors of scripts, and what the policy did not let in."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
    return said


async def published(room: Room) -> list[Any]:
    """What waits to be sent, decoded."""
    async with room.database.begin() as tx:
        rows = (await tx.execute(sa.text("select value, headers from outbox order by seq"))).all()
    return [decode(r.value, msgspec.msgpack.decode(r.headers, type=list[tuple[str, bytes]])).payload for r in rows]


async def answer(room: Room, command: OperatorCommand, said: str, *, done: bool = True) -> None:
    """Answers a command as the releaser would, and the monitor would keep it."""
    payload = {"command_id": command.command_id, "action": command.action, "version": command.version, "done": done}
    payload |= {"model": command.model, "answer": said, "requested_by": command.requested_by}
    row = {"event_id": command.command_id, "source": "shipway/releaser", "type": "shipway.CommandAnswered.v1"}
    async with room.database.begin() as tx:
        values = row | {"model": command.model, "version": command.version, "at": sa.func.now(), "payload": payload}
        await tx.execute(sa.insert(t.events).values(**values))


async def confirm(page: Page, *, reason: str = "") -> None:
    """Says yes in the dialog that a button has opened."""
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    if reason:
        await dialog.get_by_label("why, for the record").fill(reason)
    await dialog.locator("button[type=submit]").click()
    await expect(dialog).to_be_hidden()


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_every_page_is_accessible_and_whole(room: Room, opened: Opened, colours: str) -> None:
    page = await opened(room.operates, color_scheme=colours, viewport={"width": 1280, "height": 900})
    said = watched(page)
    for path in PATHS:
        await page.goto(path.replace("JOB", room.told.job))
        await page.wait_for_function(DRAWN)
        results = await Axe().run(page)
        assert results.violations_count == 0, f"{path} {colours}: {results.generate_report()}"
    # A page that is not there answers 404, which the browser says, too.
    assert [line for line in said if "404" not in line] == []


async def test_on_a_phone_nothing_is_wider_than_the_screen(room: Room, opened: Opened) -> None:
    page = await opened(room.operates, viewport={"width": 390, "height": 844})
    for path in PATHS:
        await page.goto(path.replace("JOB", room.told.job))
        await page.wait_for_function(DRAWN)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} wide"
        results = await Axe().run(page)
        assert results.violations_count == 0, f"{path}: {results.generate_report()}"


async def test_what_the_command_line_does_is_done_by_clicks(room: Room, opened: Opened) -> None:
    page = await opened(room.operates, viewport={"width": 1280, "height": 900})
    said = watched(page)
    told = page.locator("#told")
    newest = room.told.newest["flights"]

    await page.get_by_role("link", name="flights", exact=True).click()
    await page.get_by_role("button", name="Train", exact=True).click()
    await page.get_by_label("on the data before").fill("2026-03-01")
    await confirm(page, reason="newer data")
    await expect(told).to_contain_text("waiting for what becomes of the training")

    for label, action, version in (
        (f"Pin version {newest - 1}", "pin", newest - 1),
        (f"Unpin version {newest - 1}", "unpin", newest - 1),
        ("Freeze", "freeze", None),
    ):
        await page.get_by_role("button", name=label, exact=True).first.click()
        await confirm(page, reason=f"to see {action}")
        await expect(told).to_contain_text("waiting for what becomes of")
        command = (await published(room))[-1]
        assert (command.action, command.version, command.reason) == (action, version, f"to see {action}")
        assert command.requested_by == "bob (dashboard)"
        await answer(room, command, f"obeyed: {action}")
        await expect(told).to_contain_text(f"obeyed: {action}")

    await page.goto(f"/dashboard/models/flights/versions/{newest - 5}")
    await page.get_by_role("button", name=f"Restore version {newest - 5}").click()
    await confirm(page)
    await expect(told).to_contain_text("waiting")
    await answer(room, (await published(room))[-1], "it was never champion", done=False)
    await expect(told.locator(".bad")).to_contain_text("it was never champion")

    await page.goto("/dashboard/alerts?model=fraud")
    await page.get_by_role("button", name="Acknowledge errors").click()
    await confirm(page, reason="asked the data team")
    await expect(page.get_by_text("looked after by bob (dashboard): asked the data team")).to_be_visible()
    await page.get_by_role("button", name="Silence for all models").click()
    await page.get_by_role("dialog").get_by_label("alerts").select_option("drift")
    await confirm(page, reason="known everywhere")
    await expect(told).to_contain_text("drift of every model: silent until")
    await page.get_by_role("button", name="Silence fraud", exact=True).click()
    await page.get_by_role("dialog").get_by_label("for", exact=True).select_option("7d")
    await confirm(page, reason="moved to another team")
    await expect(told).to_contain_text("every kind of fraud: silent until")
    await page.get_by_role("button", name="Silence errors of fraud").click()
    await confirm(page, reason="known")
    await expect(page.get_by_role("heading", name="Silences")).to_be_visible(timeout=15_000)
    await page.get_by_role("button", name="End silence").first.click()
    await confirm(page)
    await expect(told).to_contain_text("the silence is over")

    await page.goto("/dashboard/dead-letters")
    await page.get_by_role("button", name="Send letter 1 again").click()
    await confirm(page)
    await expect(told).to_contain_text("sent again to shipway.training-requests")
    assert said == []


async def test_a_page_follows_by_itself_and_leaves_what_is_open(room: Room, opened: Opened) -> None:
    page = await opened(room.looks)
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
    await page.goto("/dashboard/events?model=houses")
    await page.locator("summary").first.click()
    trace = page.get_by_label("trace")
    await trace.fill("half typed")
    row = {"event_id": "new", "source": "tests", "type": "shipway.ModelDegraded.v1", "model": "houses", "version": 4}
    async with room.database.begin() as tx:
        payload = {"model": "houses", "version": 4, "reason": "because of the test"}
        await tx.execute(sa.insert(t.events).values(**row, at=sa.func.now(), payload=payload))
    await expect(page.locator("summary").first).to_contain_text("because of the test", timeout=15_000)
    assert await page.locator("details[open]").count() == 1
    await expect(trace).to_have_value("half typed")


async def test_keys_lead_everywhere(room: Room, opened: Opened) -> None:
    page = await opened(room.operates)
    for key, path in (("a", "alerts"), ("j", "jobs"), ("e", "events"), ("i", "instances"), ("d", "dead-letters")):
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_url(f"**/dashboard/{path}")
    await page.goto("/dashboard/models/flights")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="to the content")).to_be_focused()
    await page.get_by_role("button", name="Freeze").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.get_by_role("button", name="Freeze")).to_be_focused()
    assert await published(room) == [], "nothing was asked for"


async def test_colours_are_the_persons_choice_and_stay(room: Room, opened: Opened) -> None:
    page = await opened(room.looks, color_scheme="light")
    button = page.get_by_role("button", name="Colours")
    await button.click()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.goto("/dashboard/alerts")
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_who_only_looks_has_no_buttons_and_signs_out(room: Room, opened: Opened) -> None:
    page = await opened(room.looks)
    await page.goto("/dashboard/models/flights")
    assert await page.locator("[data-ask]").count() == 0
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/dashboard/sign-in")
    await page.goto("/dashboard")
    await page.wait_for_url("**/dashboard/sign-in")
    await page.get_by_label("API token").fill("shipway_wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not known here")
