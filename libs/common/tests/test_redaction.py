"""No secret in a log, whichever way it gets there: values, messages, tracebacks, libraries' lines, odd characters."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import unquote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from shipway.runtime import log
from shipway.runtime.authsettings import CommandSettings
from shipway.runtime.redaction import Redactor, secrets_of
from shipway.runtime.settings import DatabaseSettings, LogSettings, ObjectsSettings, ServiceSettings

PASSWORD, KEY, STORE = "pa%24s%2Fword-of-db", "operator-key-of-40-characters-0123456789", 'a"quoted\\secret'
TOKEN = "shipway_" + "x" * 43


class Example(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHIPWAY_EXAMPLE__", frozen=True)
    database: DatabaseSettings = DatabaseSettings(url=SecretStr(f"postgresql://shipway:{PASSWORD}@db:5432/shipway"))
    objects: ObjectsSettings = ObjectsSettings(secret_key=SecretStr(STORE))
    auth: CommandSettings = CommandSettings(operator_key=SecretStr(KEY))


@pytest.fixture
def restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


LEAKS: list[Callable[[], None]] = [
    lambda: log.get("a").error("can't connect", url=f"postgresql://shipway:{PASSWORD}@db:5432/shipway"),
    lambda: log.get("a").error("nested", headers=[("authorization", f"Bearer {TOKEN}")], settings={"key": KEY}),
    lambda: log.get("a").error(f"in the message {KEY} and {STORE}"),
    lambda: log.get("a").error("the store's", secret=STORE),
    lambda: log.get("a").error("decoded", password=unquote(PASSWORD)),
    lambda: log.get("a").error("another's address", url="amqp://user:unknown-to-us@elsewhere/x"),
    lambda: log.get("a").error("basic", header="Basic dXNlcjpwYXNzd29yZA=="),
    lambda: logging.getLogger("a.library").error("cannot log in with %s", KEY),
    lambda: _raises(),
]


def _raises() -> None:
    secret = KEY
    try:
        raise ValueError(f"bad key {secret} for {TOKEN}")
    except ValueError:
        log.get("a").exception("failed")
        logging.getLogger("a.library").exception("failed")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.usefixtures("restore")
def test_no_line_holds_a_secret(form: Literal["json", "console"], capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogSettings(format=form), "example", secrets_of(Example()))
    for leak in LEAKS:
        leak()
    said = capsys.readouterr().err
    hidden = (
        PASSWORD,
        unquote(PASSWORD),
        KEY,
        STORE,
        json.dumps(STORE)[1:-1],
        TOKEN,
        "unknown-to-us",
        "dXNlcjpwYXNzd29yZA",
    )
    for secret in hidden:
        assert secret not in said
    assert said.count("[hidden]") >= len(LEAKS)
    assert "can't connect" in said and "db:5432/shipway" in said, "what is no secret stays"
    if form == "json":
        assert [json.loads(line)["service"] for line in said.splitlines()] == ["example"] * (len(LEAKS) + 1)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_lines_without_secrets_stay_as_they_are(text: str) -> None:
    if "://" not in text and "earer" not in text.lower() and "asic" not in text.lower() and KEY not in text:
        assert Redactor([KEY])(None, "", text) == text


def test_short_words_and_defaults_are_no_secrets() -> None:
    assert secrets_of(ServiceSettings()) == set()
    odd = DatabaseSettings(url=SecretStr("postgresql://shipway:a/b@db/shipway"))
    assert secrets_of(odd) == {"postgresql://shipway:a/b@db/shipway"}, "an address that can't be read, as a whole"

    class Plain(ServiceSettings):
        database: DatabaseSettings = DatabaseSettings()
        objects: ObjectsSettings = ObjectsSettings(secret_key=SecretStr("shipway"))

    assert secrets_of(Plain()) == set(), "hiding the word shipway would hide every logger's name"
