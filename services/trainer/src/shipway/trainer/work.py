"""What a stage is done with, in the child process."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shipway.bundle.manifest import Windows
from shipway.contract.spec import ModelSpec
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings
from shipway.trainer.kinds import Kind, StageName


class Tell(Protocol):
    """Tells how far a job is, as a share of the whole; ``known``: what a stage that is begun again goes on from."""

    def __call__(self, fraction: float, message: str, known: Mapping[str, Any] | None = None) -> None:
        """Says so."""


@dataclass(frozen=True)
class Work:
    """What a stage is done with. ``told`` is what get-data's survey found, or the files of an import that it reads;
    ``results`` what the stages before told.

    ``earlier`` is what an earlier run of this stage told to be known, where it did not come to its end.
    ``python``: the packages whose functions may be called.
    """

    store: ObjectStore
    allowed: DataSettings
    spec: ModelSpec
    told: Mapping[str, Any]
    results: Mapping[StageName, Mapping[str, Any]]
    max_threads: int
    tell: Tell
    kind: Kind = "training"
    request_id: str = ""
    earlier: Mapping[str, Any] | None = None
    python: str = ""

    @property
    def windows(self) -> Windows:
        """The windows of the training."""
        found = self.told.get("windows") or self.results["get-data"]["windows"]
        return Windows(**{name: datetime.fromisoformat(moment) for name, moment in found.items()})
