"""Settings: the service's own variable, else the shared one; a wrong value stops the start with one line."""

import socket

import pytest
from pydantic_settings import SettingsConfigDict

from shipway.runtime.settings import DatabaseSettings, HttpSettings, ServiceSettings, describe


class Example(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="SHIPWAY_EXAMPLE__", env_nested_delimiter="__", extra="ignore", frozen=True
    )
    database: DatabaseSettings = DatabaseSettings()


def test_the_services_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPWAY__KAFKA__BOOTSTRAP", "shared:1")
    monkeypatch.setenv("SHIPWAY__KAFKA__REQUEST_TIMEOUT_MS", "700")
    assert Example.load().kafka.bootstrap == "shared:1"
    monkeypatch.setenv("SHIPWAY_EXAMPLE__KAFKA__BOOTSTRAP", "own:1")
    loaded = Example.load()
    assert loaded.kafka.bootstrap == "own:1"
    assert loaded.kafka.request_timeout_ms == 700, "what it does not set itself is still the shared one"


def test_a_wrong_value_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHIPWAY_EXAMPLE__HTTP__PORT", "eighty")
    with pytest.raises(SystemExit) as ended:
        Example.load()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "SHIPWAY_EXAMPLE__HTTP__PORT" in said


def test_a_secret_is_not_shown() -> None:
    rows = {variable: default for variable, default, _ in describe(Example)}
    assert "shipway@" not in rows["SHIPWAY_EXAMPLE__DATABASE__URL"]
    assert all(text for _, _, text in describe(Example))


def test_a_container_that_listens_everywhere_is_known_by_its_host_name() -> None:
    assert HttpSettings(host="10.0.0.7").known_as == "10.0.0.7"
    assert {HttpSettings(host=host).known_as for host in ("0.0.0.0", "::", "0::0", "")} == {socket.gethostname()}
