"""Passing over what only a newer release understands: counted by topic, and logged once a type."""

from shipway.contract.versions import NewerType
from shipway.runtime import log, metrics

_log = log.get(__name__)
_TYPES_LOGGED = 100  # anybody who may write can make up more


class PassedOver:
    """The newer types that one reader has met."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    def note(self, topic: str, newer: NewerType) -> None:
        """Counts one."""
        metrics.NEWER.labels(topic).inc()
        if newer.name not in self._met and len(self._met) < _TYPES_LOGGED:
            self._met.add(newer.name)
            _log.warning("passing over a type of event of a newer release", topic=topic, type=newer.name)
