"""What is to be served, what is, and answers given later."""

from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec

from shipway.contract.events.base import MAX_BYTES, Event, Name


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """A version's share of a model's requests, 0 to 1."""

    version: int
    share: float


class HeldVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that instances must hold, with all that serving it needs."""

    version: int
    digest: str
    role: Literal["champion", "candidate", "last_good", "standby"]
    signature: dict[str, Any]
    prediction_log: dict[str, Any] = {}


class DesiredState(Event, frozen=True, kw_only=True):
    """What instances must hold of a model and how its traffic splits. ``generation`` only ever grows.

    ``shadow``: the version that gets a copy of that share of what the champion answers, which goes to nobody.
    ``sticky``: header:NAME or feature:NAME, where requests in which that is the same go to the same version.
    """

    type: ClassVar[str] = "shipway.DesiredState.v1"
    max_bytes: ClassVar[int] = 8 * MAX_BYTES  # a signature for every version that is held
    generation: int
    versions: list[HeldVersion]
    traffic: list[Traffic]
    shadow: Traffic | None = None
    sticky: str = ""


class LoadedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says of one version; the counts are since it was loaded.

    ``latency``: how many answers to one row took how long, by the buckets of contract.latency. ``compared`` of the rows
    answered were a shadow's, held against the champion's scores: ``distance_sum`` is the sum of distances, each 0 to 1.
    """

    model: Name
    version: int
    digest: str
    state: Literal["loading", "ready", "failed"]
    reason: str = ""
    answered: int = 0
    errors: int = 0
    latency: list[int] = []
    compared: int = 0
    distance_sum: float = 0.0


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says it is and holds. Key: ``instance``; a null value says goodbye.

    ``url`` is its HTTP, ``rows`` the host:port of its rows protocol (contract.rows).
    ``answered``, ``logged`` and ``dropped`` count predictions since its start; the log has or lacks them for good.
    ``inherited`` are those that its predecessors answered and left to it: logged and dropped are of both.
    ``only``: the digests of the only bundles that it can ever hold, as its image brings them; None: it can hold any.
    """

    type: ClassVar[str] = "shipway.Presence.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    instance: str
    url: str
    started_at: datetime
    library_versions: dict[str, str]
    generations: dict[Name, int]
    versions: list[LoadedVersion]
    rows: str = ""
    answered: int = 0
    logged: int = 0
    dropped: int = 0
    inherited: int = 0
    only: list[str] | None = None


class GatewayPresence(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says it is, and by what it routes. Key: ``gateway``; a null value says goodbye.

    ``routed``: of each model the newest generation of its desired state at which the gateway's table sends to every
    version that is to have a share of the traffic.
    """

    type: ClassVar[str] = "shipway.GatewayPresence.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    gateway: str
    started_at: datetime
    routed: dict[Name, int]


class PredictionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A request to several models that is answered later: first that it is under way, then its end. Key: ``result_id``.

    ``answer`` is what a request that waits is answered, ``problem`` the document that it is refused with. One that is
    still pending at ``due_at`` was lost with the gateway that took it.
    """

    type: ClassVar[str] = "shipway.PredictionResult.v1"
    max_bytes: ClassVar[int] = MAX_BYTES
    result_id: str
    state: Literal["pending", "answered", "failed"]
    models: list[Name]
    gateway: str
    requested_at: datetime
    due_at: datetime
    answer: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
