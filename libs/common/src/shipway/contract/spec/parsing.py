"""Reading model files; every wrong field is named, with the remedy."""

import difflib
import tomllib
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.spec.data import FeatureSpec
from shipway.contract.spec.lookups import LookupSpec
from shipway.contract.spec.model import ModelSpec
from shipway.contract.spec.search import ParamRange
from shipway.contract.spec.training import StagePolicy

MAX_MODEL_FILE_BYTES = 1_000_000


class InvalidSpec(Permanent):
    """A model file with wrong fields; ``problems`` has each, the field first."""

    def __init__(self, problems: list[InvalidField]) -> None:
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = problems


def parse_spec(raw: Any) -> ModelSpec:
    """The model file's content, checked.

    Raises:
        InvalidSpec: names every wrong field and the remedy.
    """
    return _validated(raw, "forbid")


def recorded_spec(raw: Any) -> ModelSpec:
    """A spec that a service wrote, checked but for fields that are not known: a newer release may have written it.

    Raises:
        InvalidSpec: names every wrong field.
    """
    return _validated(raw, "ignore")


def _validated(raw: Any, unknown_fields: Literal["forbid", "ignore"]) -> ModelSpec:
    try:
        return ModelSpec.model_validate(raw, extra=unknown_fields)
    except ValidationError as err:
        raise InvalidSpec([_problem(e, raw) for e in err.errors(include_url=False)]) from err
    except RecursionError as err:
        raise InvalidSpec([InvalidField("model file", "nested too deeply")]) from err


def parse_toml(text: str) -> ModelSpec:
    """The same from TOML text.

    Raises:
        InvalidSpec: also for text that is not TOML, with line and column.
    """
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise InvalidSpec([InvalidField("model file", f"not valid TOML: {err}")]) from err
    return parse_spec(raw)


def to_builtins(spec: ModelSpec) -> dict[str, Any]:
    """The spec as JSON-like data that parse_spec reads back."""
    return spec.model_dump(mode="json")


def _problem(error: Any, raw: Any) -> InvalidField:
    location = [str(part) for part in error["loc"] if part != "[key]"]
    kind, message = error["type"], str(error["msg"])
    path = ".".join(location)
    if kind == "missing":
        return InvalidField(path, "is required; add it")
    if kind == "extra_forbidden":
        return InvalidField(path, f"is not a known field; {_nearest(location)}")
    if kind == "value_error":
        message = message.removeprefix("Value error, ")
        field, separator, rest = message.partition(": ")
        if separator and " " not in field:
            return InvalidField(".".join([*location, field]), rest)
        return InvalidField(path or "model file", message)
    got = error.get("input")
    shown = "" if isinstance(got, dict | list) else f", got {got!r}"[:100]
    return InvalidField(path or "model file", message[0].lower() + message[1:] + shown)


def _nearest(location: list[str]) -> str:
    model: Any = ModelSpec
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        named = {"features": FeatureSpec, "stages": StagePolicy, "space": ParamRange, "lookups": LookupSpec}
        model = named.get(part, field.annotation if field is not None else model)
    fields = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    close = difflib.get_close_matches(location[-1], fields, 1)
    return f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(fields)}"
