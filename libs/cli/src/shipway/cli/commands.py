"""The command's commands, as a table: a command imports its own module and no other, so that it starts quickly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """A command, or a group of them.

    ``module`` is one of ``shipway.cli``, ``name`` the function in it, or its Typer app; ``help`` is a group's, as a
    command's own is its docstring.
    """

    module: str
    name: str
    help: str | None = None
    panel: str | None = None


def _releases(name: str) -> Entry:
    return Entry("release", name, panel="Releases")


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "demo"),
    "up": Entry("stack", "up"),
    "down": Entry("stack", "down"),
    "model": Entry("models", "app", "Declare models and look at them."),
    "data": Entry("data", "app", "Bring data into the object store."),
    "train": Entry("train", "train"),
    "search": Entry("search", "search"),
    "import": Entry("importing", "import_model"),
    "cancel": Entry("train", "cancel"),
    "report": Entry("report", "report"),
    "compare": Entry("report", "compare"),
    "replay": Entry("replay", "replay"),
    "image": Entry("image", "image"),
    "approve": _releases("approve"),
    "promote": _releases("promote"),
    "rollback": _releases("rollback"),
    "hold": _releases("hold"),
    "resume": _releases("resume"),
    "freeze": _releases("freeze"),
    "unfreeze": _releases("unfreeze"),
    "pin": _releases("pin"),
    "unpin": _releases("unpin"),
    "retire": _releases("retire"),
    "restore": _releases("restore"),
    "jobs": Entry("jobs", "app", "Trainings and searches on record, stage by stage; run a failed one again."),
    "predict": Entry("predict", "predict"),
    "predictions": Entry("predictions", "app", "The record of what was predicted."),
    "features": Entry("features", "app", "Features that gateways look up: publish, look at, forget."),
    "mlflow": Entry("mlflow", "app", "Versions and their evaluations in an MLflow."),
    "forget": Entry("forget", "forget"),
    "quality": Entry("quality", "quality"),
    "monitoring": Entry("monitoring", "monitoring"),
    "levels": Entry("levels", "levels"),
    "alerts": Entry("alerts", "app", "What is unusual and goes on: look, acknowledge, silence."),
    "status": Entry("status", "status"),
    "dashboard": Entry("dashboard", "dashboard"),
    "events": Entry("events", "events"),
    "dead-letters": Entry("deadletters", "app", "What services refused; send it again."),
    "token": Entry("token", "app", "Make, list and revoke API tokens."),
    "doctor": Entry("doctor", "doctor"),
    "provision": Entry("provision", "provision"),
    "config": Entry("config", "config"),
}


class Commands(TyperGroup):
    """``shipway``: the table's commands, in its order."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**(arguments | {"commands": _Imported(COMMANDS)}))


class _Imported(Mapping[str, TyperCommand | TyperGroup]):
    """The commands of a table, each imported when it is looked at."""

    def __init__(self, table: Mapping[str, Entry]) -> None:
        self._table = table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        entry = self._table[name]
        found = getattr(import_module(f"shipway.cli.{entry.module}"), entry.name)
        around = typer.Typer(callback=lambda: None, rich_markup_mode="rich")
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name, help=entry.help)
        else:
            around.command(name, rich_help_panel=entry.panel)(found)
        group = typer.main.get_command(around)
        assert isinstance(group, TyperGroup)
        made = group.commands[name]
        assert isinstance(made, TyperCommand | TyperGroup)
        return made
