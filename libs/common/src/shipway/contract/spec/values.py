"""What the sections of a model file are made of: names, durations, shares."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse_duration(text: object) -> timedelta:
    """A duration such as ``"90d"``, ``"1.5h"`` or ``"250ms"``.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) * _UNITS[match[2]] > 36525 * 86400:
        raise ValueError('must be a duration of at most a century such as "90d", "12h", "30m", "10s" or "250ms"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(duration: timedelta) -> str:
    """The shortest text that parse_duration reads back, to the microsecond."""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(duration, timedelta(seconds=_UNITS[unit]))
        if count and not rest:
            return f"{count}{unit}"
    whole, micros = divmod(duration, timedelta(milliseconds=1))
    return f"{whole}.{micros.microseconds:03d}".rstrip("0").rstrip(".") + "ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the model file: a field that is not known is wrong, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def later(default: Any, **said: Any) -> Any:
    """A field of a later release: left out where it is not said, so that a service of an older one reads the spec."""
    return Field(default=default, exclude_if=lambda value: value == default, **said)
