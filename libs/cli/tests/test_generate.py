"""The pages made from code say what the code says: commands, events, REST."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import typer

from shipway.cli.generate import commands, events, rest
from shipway.contract.events import EVENT_TYPES, Event
from shipway.contract.schemas import json_schema
from shipway.contract.topics import Topic


def a_command() -> typer.Typer:
    app, group = typer.Typer(), typer.Typer()

    @app.command("look")
    def look(
        what: Annotated[str, typer.Argument(help="the | thing")],
        deep: Annotated[int, typer.Option(envvar="LOOK_DEEP", help="how deep")] = 3,
        as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    ) -> None:
        """Look at a thing."""

    @group.command("list")
    def list_all() -> None:
        """List all of them.

        More of it.
        """

    app.add_typer(group, name="things")
    return app


def test_every_command_is_there_with_all_it_takes() -> None:
    page = commands.page(a_command())
    assert "| [`shipway look`](#shipway-look) | Look at a thing. |" in page
    assert "| [`shipway things list`](#shipway-things-list) | List all of them. |" in page
    of_look = page.partition("## shipway look\n")[2].partition("## ")[0]
    assert "| required | the \\| thing |" in of_look
    assert "| `3` | how deep (or `LOOK_DEEP`) |" in of_look
    assert "| `--json` |  | for programs |" in of_look


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece."""

    weight: float


class Sent(Event, frozen=True, kw_only=True):
    """It was sent."""

    type = "shipway.Sent.v1"
    at: datetime
    pieces: list[Piece]
    by: Literal["air", "sea"] = "sea"
    left: dict[str, int] = msgspec.field(default_factory=dict)


def test_an_event_has_its_topic_its_fields_and_an_example() -> None:
    topic = Topic("shipway.sent", (Sent,), "model", ("client",), ("trainer",), ("gateway",), retention_h=2)
    page = events.page([topic], {Sent.type: Sent}, {Sent.type: json.dumps({"key": "m", "value": {"model": "m"}})})
    assert "| [Sent](#sent) | `shipway.sent` | It was sent. |" in page
    assert "Topic `shipway.sent`, key model, kept 2 h. Written by client; read by trainer, gateway (table)." in page
    assert "| `at` | time |  |" in page
    assert "| `pieces` | list of [Piece](#piece) |  |" in page
    assert '| `by` | `"air"` or `"sea"` | `"sea"` |' in page
    assert "| `left` | object of whole number by text | `{}` |" in page
    assert '```json\n{\n "model": "m"\n}\n```' in page
    assert "### Piece\n\nA piece.\n\n" in page and "| `weight` | number |  |" in page


def test_fields_that_may_be_left_out_are_those_of_the_schema() -> None:
    for kind in EVENT_TYPES.values():
        needed = [line.split("`")[1] for line in events._fields(kind).splitlines()[2:] if line.endswith("|  |")]
        schema = json_schema(kind)
        assert set(needed) == set(schema.get("required", ())), kind


def a_document() -> dict[str, Any]:
    ref = {"$ref": "#/components/schemas/Thing"}
    return {
        "paths": {
            "/things/{name}": {
                "put": {
                    "summary": "Put a thing",
                    "security": [{"token": ["operate"]}],
                    "parameters": [
                        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                        {"name": "n", "in": "query", "schema": {"type": "integer", "default": 5}},
                    ],
                    "requestBody": {"content": {"application/json": {"schema": ref}}},
                    "responses": {
                        "200": {"content": {"application/json": {"schema": {"type": "array", "items": ref}}}},
                        "401": {"description": "no token"},
                        "404": {"description": "not known here"},
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "Thing": {
                    "description": "A thing.",
                    "required": ["kind"],
                    "properties": {
                        "kind": {"enum": ["round", "flat"]},
                        "size": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
                    },
                }
            }
        },
    }


def test_a_route_has_its_scope_what_it_takes_and_what_it_answers() -> None:
    page = rest.page({"shop": a_document()})
    assert "| `PUT /things/{name}` | `operate` | Put a thing |" in page
    assert "| `name` (required) | path | string |  |" in page
    assert "| `n` | query | integer | ; default `5` |" not in page and "| `n` | query | integer | default `5` |" in page
    assert "Body (`application/json`): [Thing](#thing-shop)." in page
    assert "Answers: **200** list of [Thing](#thing-shop); **404** not known here." in page
    assert "#### Thing (shop)\n\nA thing.\n" in page
    assert '| `kind` | `"round"` or `"flat"` |  |' in page
    assert "| `size` | number or null | `null` |" in page
