"""The table of the model file's fields, from its sections."""

import json
from datetime import timedelta

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shipway.contract.spec import FeatureSpec, LookupSpec, OwnPython, ParamRange, Schedule, StagePolicy, format_duration

# What a section holds by name, or may lack.
_WITHIN: dict[str, tuple[type[BaseModel], str]] = {
    "features": (FeatureSpec, "features.NAME."),
    "lookups": (LookupSpec, "lookups[]."),
    "schedule": (Schedule, "schedule."),
    "clean": (OwnPython, "clean."),
    "preprocess": (OwnPython, "preprocess."),
    "stages": (StagePolicy, "stages.STAGE."),
    "space": (ParamRange, "search.space.PARAMETER."),
}


def table(section: type[BaseModel]) -> str:
    """The fields of a model file with this shape: name, default, what it is."""
    head = "| field | default | what it is |\n|---|---|---|\n"
    return head + "".join(f"| `{name}` | {default} | {text} |\n" for name, default, text in _fields(section, ""))


def _fields(section: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    rows = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _fields(field.annotation, f"{prefix}{name}.")
        elif name in _WITHIN:
            rows += _fields(*_WITHIN[name])
        else:
            rows.append((prefix + name, _default(field), field.description or ""))
    return rows


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        value = format_duration(value)
    return "" if value in (None, "", {}, []) else f"`{json.dumps(value)}`"
