"""A compacted topic as a table in memory: the last value of every key."""

from collections.abc import Callable
from typing import Generic, TypeVar

from shipway.contract.envelope import Envelope
from shipway.contract.errors import Permanent
from shipway.contract.events import Payload
from shipway.contract.topics import Topic
from shipway.runtime.compacted import Compacted
from shipway.runtime.settings import KafkaSettings

P = TypeVar("P", bound=Payload)


class TableView(Compacted, Generic[P]):
    """The values of a compacted topic by key, with the envelope that each came in.

    ``accept`` may refuse a value (a stale generation, a wrong key); ``on_change`` is called after every
    accepted change, with the key.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: Topic,
        payload_type: type[P],
        *,
        accept: Callable[[str, P, P | None], bool] = lambda _key, _new, _old: True,
        on_change: Callable[[str], None] = lambda _key: None,
        silence_s: float = 30.0,
    ) -> None:
        super().__init__(settings, topic, self._keep, self._forget, silence_s=silence_s)
        self._type = payload_type
        self._accept = accept
        self._on_change = on_change
        self.values: dict[str, P] = {}
        self.envelopes: dict[str, Envelope] = {}

    def _keep(self, key: str, event: Envelope) -> None:
        if not isinstance(event.payload, self._type):
            raise Permanent(f"{event.payload.type} does not belong on {self._topic.name}")
        if self._accept(key, event.payload, self.values.get(key)):
            self.values[key] = event.payload
            self.envelopes[key] = event
            self._on_change(key)

    def _forget(self, key: str) -> None:
        if self.values.pop(key, None) is not None:
            self.envelopes.pop(key, None)
            self._on_change(key)
