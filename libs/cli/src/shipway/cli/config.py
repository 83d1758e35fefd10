"""``shipway config``: every setting of every service, with its default and what it is for."""

from importlib import import_module
from typing import Annotated

import typer

from shipway.cli.output import console, print_json, table
from shipway.cli.target import AsJson
from shipway.contract.topics import SERVICES
from shipway.runtime.settings import ServiceSettings, describe


def settings_class(service: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    found: type[ServiceSettings] = getattr(
        import_module(f"shipway.{service}.settings"), f"{service.capitalize()}Settings"
    )
    return found


def config(
    service: Annotated[str | None, typer.Argument(help=f"one of {', '.join(SERVICES)}; default: all")] = None,
    as_json: AsJson = False,
) -> None:
    """List the settings (environment variables). SHIPWAY__KAFKA__... is read by every service that lacks its own."""
    if service is not None and service not in SERVICES:
        raise typer.BadParameter(f"{service!r} is not a service; there are {', '.join(SERVICES)}")
    rows = {name: describe(settings_class(name)) for name in SERVICES if service in (None, name)}
    if as_json:
        print_json({n: [{"variable": v, "default": d, "description": t} for v, d, t in r] for n, r in rows.items()})
        return
    for name, settings in rows.items():
        shown = table(name, "variable", "default", "description")
        for row in settings:
            shown.add_row(*row)
        console.print(shown)
