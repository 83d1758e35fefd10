"""Where Shipway is."""

import os
from dataclasses import dataclass, field

from shipway.client.errors import ShipwayError
from shipway.runtime.settings import (
    KafkaSettings,
    ObjectsSettings,
    TracingSettings,
    objects_from_environment,
    tracing_from_environment,
)


@dataclass(frozen=True)
class Addresses:
    """Where Shipway is. Predictions need only the gateway; look-ups the monitor (and of jobs the trainer);
    declaring and training Kafka; predictions and labels on record the object store. Spans of what is asked for go to
    ``tracing``'s collector, where there is one.

    The URLs come from SHIPWAY_GATEWAY_URL, SHIPWAY_MONITOR_URL and SHIPWAY_TRAINER_URL where they are not given.
    ``token`` opens gateway, monitor and trainer where they ask for one, ``operator_key`` signs commands; both come from
    the environment (SHIPWAY_TOKEN, SHIPWAY__AUTH__OPERATOR_KEY) where they are not given.
    """

    gateway: str = field(default_factory=lambda: os.environ.get("SHIPWAY_GATEWAY_URL", "http://127.0.0.1:8080"))
    monitor: str = field(default_factory=lambda: os.environ.get("SHIPWAY_MONITOR_URL", "http://127.0.0.1:8090"))
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    token: str | None = field(default_factory=lambda: os.environ.get("SHIPWAY_TOKEN"), repr=False)
    operator_key: str | None = field(default_factory=lambda: os.environ.get("SHIPWAY__AUTH__OPERATOR_KEY"), repr=False)
    trainer: str = field(default_factory=lambda: os.environ.get("SHIPWAY_TRAINER_URL", "http://127.0.0.1:8101"))
    objects: ObjectsSettings = field(default_factory=objects_from_environment)
    tracing: TracingSettings = field(default_factory=tracing_from_environment)

    def headers(self) -> dict[str, str]:
        """What goes with every request.

        Raises:
            ShipwayError: the token is none.
        """
        token = (self.token or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise ShipwayError("the token (SHIPWAY_TOKEN, --token) holds characters that no token has")
        return {"authorization": f"Bearer {token}"} if token else {}
