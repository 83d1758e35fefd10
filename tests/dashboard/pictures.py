"""The pictures in README and docs, made anew: ``make screenshots``. Small PNGs, of a month of made-up history."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from dashboard.conftest import Room
from playwright.async_api import Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 200_000
DRAWN = "document.querySelectorAll('[data-plot]').length === document.querySelectorAll('.uplot').length"
SHOTS = (
    ("overview", "/dashboard", "light"),
    ("model", "/dashboard/models/flights?span=7 d", "light"),
    ("model-dark", "/dashboard/models/churn?span=7 d", "dark"),
    ("version", "/dashboard/models/flights/versions/30", "light"),
    ("alerts", "/dashboard/alerts", "light"),
)


@pytest.fixture
def days() -> int:
    return 30


async def test_pictures(room: Room, opened: Callable[..., Awaitable[Page]]) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, path, colours in SHOTS:
        page = await opened(
            room.operates, viewport={"width": 1280, "height": 1240 if "model" in name else 860}, color_scheme=colours
        )
        await _shoot(page, path, name)
    phone = await opened(room.operates, viewport={"width": 390, "height": 844}, color_scheme="light")
    await _shoot(phone, "/dashboard/models/flights", "phone")


async def _shoot(page: Page, path: str, name: str) -> None:
    await page.goto(path)
    await page.wait_for_function(
        "document.querySelectorAll('[data-plot]').length === document.querySelectorAll('.uplot').length"
    )
    file = IMAGES / f"{name}.png"
    await page.screenshot(path=file, animations="disabled")
    assert file.stat().st_size < MOST_BYTES, f"{file.name} has {file.stat().st_size} bytes"
    await page.context.close()
