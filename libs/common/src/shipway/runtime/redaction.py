"""No secret reaches a log: the last step of every log line, whoever wrote it, tracebacks and libraries included."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

HIDDEN = "[hidden]"
# Shorter ones are words that occur anyway; passwords in addresses and Authorization are found by their place.
_LEAST_LENGTH = 8
_BY_PLACE = (
    (re.compile(r"(://[^\s/:@\"']*:)[^\s/@\"']+(@)"), rf"\1{HIDDEN}\2"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\bshipway_[\w-]{20,}"), HIDDEN),
)


def secrets_of(settings: BaseModel) -> set[str]:
    """The secret values of a settings object, at any depth; of an address its password alone."""
    found = set()
    for value in _secret_values(settings):
        password = _password(value)
        if password:
            found |= {password, unquote(password)}  # the rest of the address may be shown
        elif "://" not in value or ":" in value.partition("://")[2].rpartition("@")[0]:
            found.add(value)
    return {secret for secret in found if len(secret) >= _LEAST_LENGTH}


class Redactor:
    """A structlog processor that comes after the renderer: text in, text without secrets out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # As they stand in JSON too, where a quote or a backslash is written otherwise.
        forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
        # The longest first: one secret may be the beginning of another.
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, _logger: Any, _method: str, rendered: Any) -> str:
        """The line without secrets."""
        text = str(rendered)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern, instead in _BY_PLACE:
            text = pattern.sub(instead, text)
        return text


def _secret_values(settings: BaseModel) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secret_values(value)


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
