"""The reference of the ``shipway`` command, from its commands themselves: how each is called, and all it takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_HEAD = """# The command

Made by `make docs` from the command itself; `shipway COMMAND --help` shows the same.

Exit codes: 0 done; 1 it ended badly (a training failed, a version was rejected); 2 the input is wrong, or was refused;
3 a part of Shipway does not answer; 130 interrupted. `--json` writes one JSON document to standard output, and nothing
else there.
"""


def page(app: typer.Typer) -> str:
    """The page of an app: a table of all commands, then a section for each."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = list(_commands(group, None, "shipway"))
    rows = [f"| [`{name}`](#{_anchor(name)}) | {_first_line(command)} |" for name, command, _ in found]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    common = f"## Before any command\n\n{_taken(group, group.context_class(group, info_name='shipway'))}"
    sections = [f"## {name}\n\n{_section(command, context)}" for name, command, context in found]
    return "\n\n".join([_HEAD.rstrip(), table, common, *sections]) + "\n"


def _commands(group: TyperGroup, above: Any, name: str) -> Iterator[tuple[str, TyperCommand, Any]]:
    """The commands of a group, those of its groups too, each with its full name and its context."""
    context = group.context_class(group, parent=above, info_name=name.rpartition(" ")[2])
    for short in group.list_commands(context):
        command, full = group.get_command(context, short), f"{name} {short}"
        if isinstance(command, TyperGroup):
            yield from _commands(command, context, full)
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield full, command, command.context_class(command, parent=context, info_name=short)


def _section(command: TyperCommand, context: Any) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"```text\n{usage}\n```", (command.help or "").strip(), _taken(command, context)]
    return "\n\n".join(part for part in parts if part)


def _taken(command: TyperCommand | TyperGroup, context: Any) -> str:
    """The table of what a command takes; empty where that is nothing."""
    rows = [_row(p, context) for p in command.params if isinstance(p, TyperArgument | TyperOption) and not p.hidden]
    return "\n".join(["| it takes | default | what it is |", "|---|---|---|", *rows]) if rows else ""


def _row(taken: TyperArgument | TyperOption, context: Any) -> str:
    named, _ = taken.get_help_record(context) or ("", "")
    text = (taken.help or "").replace("|", "\\|")
    return f"| `{named}` | {_default(taken)} | {text}{_variable(taken)} |"


def _default(taken: TyperArgument | TyperOption) -> str:
    if taken.required:
        return "required"
    value = taken.default
    # What is not of this machine: a path of the checkout is no default to write down.
    shown = value not in (None, False, "", []) and not callable(value)
    return f"`{value}`" if shown and not (isinstance(value, Path) and value.is_absolute()) else ""


def _variable(taken: TyperArgument | TyperOption) -> str:
    names = [taken.envvar] if isinstance(taken.envvar, str) else list(taken.envvar or ())
    return f" (or `{'`, `'.join(names)}`)" if names else ""


def _first_line(command: TyperCommand) -> str:
    return (command.help or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
