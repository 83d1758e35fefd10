"""``shipway dashboard``: where the dashboard is."""

import webbrowser
from typing import Annotated

import typer

from shipway.cli.output import console, print_json
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Monitor, addresses


def dashboard(
    open_page: Annotated[bool, typer.Option("--open", help="open it in a browser")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    monitor: Monitor = None,
) -> None:
    """Say where the dashboard is, which the monitor serves; where it asks for a token, sign in with one there."""
    url = dashboard_url(addresses(data, monitor=monitor).monitor)
    if as_json:
        print_json({"url": url})
    else:
        console.print(url, highlight=False, soft_wrap=True)
    if open_page:
        webbrowser.open(url)


def dashboard_url(monitor: str) -> str:
    """The dashboard of a monitor."""
    return f"{monitor}/dashboard"
