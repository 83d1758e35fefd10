"""The settings section AUTH: who may call a service (gateway, monitor), and whose commands count (trainer)."""

import ipaddress
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from shipway.contract.errors import Permanent
from shipway.runtime import tokens
from shipway.runtime.settings import ServiceSettings


class _Auth(BaseModel):
    """Part of the section. A shared variable of the other part is not for this service; an unknown one is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _own(cls, raw: Any) -> Any:
        others = {key for part in (AccessSettings, CommandSettings) for key in part.model_fields} - set(
            cls.model_fields
        )
        return {key: value for key, value in raw.items() if key not in others} if isinstance(raw, dict) else raw


class AccessSettings(_Auth):
    """Who may call the service over HTTP."""

    tokens_file: Path | None = Field(default=None, description="API tokens (see shipway token); read again on change")
    off: bool = Field(
        default=False, description="answer without tokens also where not only this machine can ask: in a closed network"
    )
    requests_per_s: float = Field(
        default=0, ge=0, le=1e9, description="requests a second of one token, in each process; 0: no limit"
    )
    body_bytes: int = Field(
        default=2_000_000, ge=1000, description="bytes in one request, predictions aside (these have their own limit)"
    )
    burst: int = Field(default=100, ge=1, description="requests that a token may send at once")

    @field_validator("tokens_file")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        try:
            if path is not None:
                tokens.read_lines(path)
        except Permanent as err:
            raise ValueError(str(err)) from err
        return path


class CommandSettings(_Auth):
    """Whose operator commands count."""

    operator_key: SecretStr = Field(
        default=SecretStr(""),
        description="key that signs operator commands, 32 characters or more (openssl rand -hex 32); "
        "empty: whoever can write to the topic is obeyed",
    )
    command_window_s: float = Field(
        default=900, gt=0, description="a signed command that is older, or so far ahead, is refused"
    )

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if 0 < len(self.operator_key.get_secret_value()) < 32:
            raise ValueError("operator_key: must have 32 characters or more; make one: openssl rand -hex 32")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that binds ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class GuardedSettings(ServiceSettings):
    """The settings of a service that people and programs call."""

    auth: AccessSettings = AccessSettings()

    @model_validator(mode="after")
    def _guarded_or_near(self) -> Self:
        if self.auth.tokens_file is None and not self.auth.off and not is_loopback(self.http.host):
            raise ValueError(
                f"HTTP__HOST {self.http.host} can be reached from elsewhere, and there are no tokens: set "
                "AUTH__TOKENS_FILE (shipway token create), or AUTH__OFF=true in a closed network"
            )
        return self
