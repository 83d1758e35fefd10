"""What instances say of versions, and what their counts amount to: the values that evidence is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Loaded:
    """What an instance says of one version. Counts are since it was loaded; ``answered`` is without ``errors``.

    ``latency``: answers to one row, by the buckets of contract.latency. ``compared``: of rows that it was a shadow for,
    ``distance`` is the sum of its scores' distances from the champion's, each 0 to 1.
    """

    digest: str
    state: Literal["loading", "ready", "failed"]
    reason: str = ""
    answered: int = 0
    errors: int = 0
    latency: tuple[int, ...] = ()
    compared: int = 0
    distance: float = 0.0


@dataclass(frozen=True)
class Instance:
    """A live instance, and what it holds of one model, by version.

    ``only``: the digests of the only bundles that it can ever hold, as its image brings them; None: it can hold any.
    """

    name: str
    started_at: datetime
    loaded: Mapping[int, Loaded]
    only: frozenset[str] | None = None

    def can_hold(self, digest: str) -> bool:
        """Whether it can ever hold that bundle."""
        return self.only is None or digest in self.only


@dataclass(frozen=True)
class Count:
    """The counts that an instance last reported, and the start of the process that counted."""

    started_at: datetime
    answered: int
    errors: int
    latency: tuple[int, ...] = ()
    compared: int = 0
    distance: float = 0.0


@dataclass(frozen=True)
class Quality:
    """What labels say of a version's answers: how many have one, and the sum of their losses, each 0 to 1.

    ``ndcg_at``: of a ranking, by how many of the best rows of each query.
    """

    labelled: int = 0
    loss_sum: float = 0.0
    ndcg_at: int | None = None


@dataclass(frozen=True)
class Arm:
    """What one version answered in the current canary step; ``seen`` is by instance, for the whole release."""

    answered: int = 0
    errors: int = 0
    seen: dict[str, Count] = field(default_factory=dict)
    latency: tuple[int, ...] = ()
    compared: int = 0
    distance: float = 0.0

    @property
    def requests(self) -> int:
        """Requests that the version was given and that ended, well or not."""
        return self.answered + self.errors

    @property
    def error_share(self) -> float:
        """The share of them that failed; 0 where there were none."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Evidence(Arm):
    """What the candidate answered in the current step, and beside it the ``champion``, which is version ``against``.

    Answers in bucket ``slow_from`` and above are slow; None: the champion's are too few to say. The qualities are those
    when the canary began.
    """

    champion: Arm = Arm()
    against: int | None = None
    slow_from: int | None = None
    quality: Quality = Quality()
    champion_quality: Quality = Quality()


UNLABELLED = Quality()
NO_EVIDENCE = Evidence()
