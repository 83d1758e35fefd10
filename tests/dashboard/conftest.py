"""A real Chromium that looks at the dashboard of a monitor with some history."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dashboard import yearly
from dashboard.served import dashboard, serving
from playwright.async_api import Browser, Page, async_playwright

from shipway.runtime.database import Database
from shipway.runtime.tokens import create

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@dataclass
class Room:
    """Where the dashboard is, and the tokens that open it: one that looks, one that operates."""

    url: str
    database: Database
    told: yearly.Told
    looks: str
    operates: str


@pytest.fixture
def days() -> int:
    """How long the history is."""
    return 8


@pytest.fixture
async def room(open_database: Callable[[str], Awaitable[Database]], tmp_path: Path, days: int) -> AsyncIterator[Room]:
    database = await open_database("monitor")
    told = await yearly.fill(database, days=days)
    tokens = tmp_path / "tokens"
    looks = create(tokens, "ann", ["read"])
    operates = create(tokens, "bob", ["read", "operate"])
    app = dashboard(database, tmp_path, tokens=tokens, said=yearly.presence(told))
    async with serving(app) as url:
        yield Room(url, database, told, looks, operates)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no Chromium: apt-get install chromium, or name one with CHROMIUM=/path")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
def opened(browser: Browser, room: Room) -> Callable[..., Awaitable[Page]]:
    """Gives a page signed in: ``await opened(room.operates)``. What goes wrong in its script fails the test."""

    async def open_page(token: str, **how: Any) -> Page:
        context = await browser.new_context(base_url=room.url, **how)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        await page.goto("/dashboard")
        await page.get_by_label("API token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/dashboard")
        return page

    return open_page
