"""A release from its first step to its end, and a version's end."""

from typing import ClassVar

import msgspec

from shipway.contract.events.base import Event


class ReleaseProgressed(Event, frozen=True, kw_only=True):
    """A release went from one state to another: by which rule or person (``by``), and on which ``figures``."""

    type: ClassVar[str] = "shipway.ReleaseProgressed.v1"
    version: int
    release_id: str
    from_state: str
    to_state: str
    candidate_share: float
    generation: int
    reason: str
    by: str = ""
    figures: dict[str, float] = msgspec.field(default_factory=dict)


class ModelReleased(Event, frozen=True, kw_only=True):
    """Enough instances hold the version, checked, and it answers its first share of traffic."""

    type: ClassVar[str] = "shipway.ModelReleased.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    instances: list[str]
    candidate_share: float


class ReleasePromoted(Event, frozen=True, kw_only=True):
    """The version is the champion; ``previous_version`` stays loaded as the last good one."""

    type: ClassVar[str] = "shipway.ReleasePromoted.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    previous_version: int | None
    reason: str


class ReleaseRolledBack(Event, frozen=True, kw_only=True):
    """The version takes no traffic any more; ``champion_version`` answers."""

    type: ClassVar[str] = "shipway.ReleaseRolledBack.v1"
    version: int
    digest: str
    release_id: str
    generation: int
    champion_version: int | None
    champion_digest: str | None
    reason: str


class ReleaseSuperseded(Event, frozen=True, kw_only=True):
    """A waiting release was passed over for a newer approved version."""

    type: ClassVar[str] = "shipway.ReleaseSuperseded.v1"
    version: int
    release_id: str
    by_version: int


class ModelDegraded(Event, frozen=True, kw_only=True):
    """A serving version broke its service level: replaced first, retired after."""

    type: ClassVar[str] = "shipway.ModelDegraded.v1"
    version: int
    figure: str
    value: float
    limit: float
    reason: str


class ModelRetired(Event, frozen=True, kw_only=True):
    """The version is to be served no more, by rule ``policy``."""

    type: ClassVar[str] = "shipway.ModelRetired.v1"
    version: int
    policy: str
    reason: str


class BundleRemoved(Event, frozen=True, kw_only=True):
    """A retired version's bundle is in the object store no more: it can't be restored."""

    type: ClassVar[str] = "shipway.BundleRemoved.v1"
    version: int
    digest: str
    reason: str


class RetirementDeferred(Event, frozen=True, kw_only=True):
    """A retirement waits, because the version is still needed."""

    type: ClassVar[str] = "shipway.RetirementDeferred.v1"
    version: int
    reason: str
