"""``shipway token``: make, list and revoke the API tokens of gateway and monitor, in their tokens file."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from shipway.cli.output import console, errors, print_json, table
from shipway.cli.target import AsJson
from shipway.contract.spec import parse_duration
from shipway.runtime import tokens
from shipway.runtime.access import SCOPES, Scope

app = typer.Typer(no_args_is_help=True)
File = Annotated[Path, typer.Option("--file", envvar="SHIPWAY__AUTH__TOKENS_FILE", help="the tokens file")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="who will use it, such as web-shop")],
    scope: Annotated[list[str], typer.Option("--scope", help=f"what it may do, once or more: {', '.join(SCOPES)}")],
    file: File,
    expires: Annotated[str | None, typer.Option(help="end of its life from now, such as 90d; default: none")] = None,
    requests_per_s: Annotated[float | None, typer.Option(help="its own limit of requests a second")] = None,
) -> None:
    """Make a token. It is shown this once; the file keeps its hash."""
    try:
        scopes = msgspec.convert(scope, list[Scope])
    except msgspec.ValidationError:
        raise typer.BadParameter(f"--scope: must be of {', '.join(SCOPES)}") from None
    try:
        until = datetime.now(UTC) + parse_duration(expires) if expires else None
    except ValueError as err:
        raise typer.BadParameter(f"--expires {expires!r}: {err}") from err
    token = tokens.create(file, name, scopes, expires_at=until, requests_per_s=requests_per_s)
    errors.print(f"{file} has its hash; services that use this file know it within two seconds. Kept nowhere else:")
    sys.stdout.write(token + "\n")


@app.command("list")
def list_tokens(file: File, as_json: AsJson = False) -> None:
    """List the tokens in force."""
    found = tokens.read_lines(file).values()
    if as_json:
        print_json([{"name": t.name, "scopes": t.scopes, "expires_at": t.expires_at} for t in found])
        return
    shown = table("tokens", "name", "scopes", "created", "expires", ">requests/s")
    for t in found:
        created = f"{t.created_at:%Y-%m-%d %H:%M}" if t.created_at else ""
        expires = f"{t.expires_at:%Y-%m-%d %H:%M}" if t.expires_at else "never"
        shown.add_row(t.name, ", ".join(t.scopes), created, expires, f"{t.requests_per_s or ''}")
    console.print(shown if found else "no tokens in force; make one: shipway token create NAME --scope read")


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="the token's name")], file: File) -> None:
    """End a token."""
    tokens.revoke(file, name)
    console.print(f"revoked; services that use {file} know within two seconds")


def use_token(
    token: Annotated[
        str | None, typer.Option("--token", envvar="SHIPWAY_TOKEN", help="API token for gateway and monitor")
    ] = None,
) -> None:
    """From a training request to served predictions and back to retirement, event by event."""
    if token is not None:
        # Where client.Addresses looks for it, whichever command makes one.
        os.environ["SHIPWAY_TOKEN"] = token
