"""The values that releases are decided over: a model with its versions and releases, and what instances say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shipway.contract import events as e
from shipway.contract.spec import Release as Policy

State = Literal["approved", "loading", "shadow", "canary", "active", "rolled_back", "superseded"]
Role = Literal["waiting", "candidate", "champion", "last_good", "standby", "leaving", "gone"]
HeldRole = Literal["champion", "candidate", "last_good", "standby"]
ReleaseEvent = (
    e.ReleaseProgressed
    | e.ModelReleased
    | e.ReleasePromoted
    | e.ReleaseRolledBack
    | e.ReleaseSuperseded
    | e.RetirementDeferred
    | e.ModelRetired
    | e.CommandAnswered
    | e.TrainingRequested
)
IN_PROGRESS: tuple[State, ...] = ("loading", "shadow", "canary")
TRIED: tuple[State, ...] = ("shadow", "canary")
ENDED: tuple[State, ...] = ("active", "rolled_back", "superseded")


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
    """What labels say of a version's answers: how many have one, and the sum of their losses, each 0 to 1."""

    labelled: int = 0
    loss_sum: float = 0.0


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


@dataclass(frozen=True)
class Hold:
    """What a release waits for: ``approval``, the end of an ``operator``'s hold or of a freeze, an error ``budget``."""

    kind: Literal["approval", "operator", "freeze", "budget"]
    reason: str
    since: datetime


@dataclass(frozen=True)
class Order:
    """An operator's command that waits to be obeyed or refused; ``version`` is None where none was named."""

    id: str
    action: e.OperatorAction
    version: int | None
    reason: str
    by: str


@dataclass(frozen=True)
class Cause:
    """Why a release moves: in words, by which rule or person, and on which figures."""

    reason: str
    by: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A version and its place. ``degraded`` and ``retiring`` hold the reason once that was said of it.

    ``leaving`` is still held, until ``routed_until`` (when it last had a share of traffic) is long enough ago;
    ``gone`` is no longer held. ``pinned`` holds the reason why a person wants it kept, where one does. ``quality`` is
    what the labels that came so far say of all its answers. ``replacement_asked``: for a training in its place, once.
    A retired version's ``bundle`` is removed in the end, where its model file says so.
    """

    number: int
    digest: str
    role: Role = "waiting"
    degraded: str | None = None
    retiring: str | None = None
    deferred: bool = False
    routed_until: datetime | None = None
    pinned: str | None = None
    quality: Quality = Quality()
    replacement_asked: bool = False
    bundle: Literal["kept", "removing", "removed"] = "kept"


@dataclass(frozen=True)
class Release:
    """One rollout of one version. ``since`` is when its state, or its canary step, began."""

    id: str
    version: int
    policy: Policy
    since: datetime
    state: State = "approved"
    step: int = 0
    deadline: datetime | None = None
    evidence: Evidence = Evidence()
    reason: str = ""
    hold: Hold | None = None

    @property
    def bakes(self) -> bool:
        """Whether the last canary step is over, and it has all the traffic for a while before it is the champion."""
        return self.state == "canary" and self.step >= len(self.policy.canary)

    @property
    def share(self) -> float:
        """The candidate's share of the traffic; all of it while it bakes."""
        if self.state == "canary":
            return 1.0 if self.bakes else self.policy.canary[self.step]
        return 1.0 if self.state == "active" else 0.0


@dataclass(frozen=True)
class Desired:
    """What instances must hold, by version and role, and how traffic splits (shares above 0 only).

    ``shadow``: the version that gets a copy of so large a share. ``sticky``: by what the split is kept, where it is.
    """

    held: tuple[tuple[int, HeldRole], ...] = ()
    traffic: tuple[tuple[int, float], ...] = ()
    shadow: tuple[int, float] | None = None
    sticky: str = ""


@dataclass(frozen=True)
class Model:
    """All that is decided over together. Versions that are gone may be left out, and their releases.

    ``frozen``: no release starts or goes on. ``spent``: the same while an error budget of serving is spent, unless the
    champion is degraded. ``orders`` are what operators wait for, the oldest first. ``replacement_asked_at``: when a
    training was last asked for in the place of a degraded champion.
    """

    name: str
    generation: int = 0
    desired: Desired = Desired()
    versions: Mapping[int, Version] = field(default_factory=dict)
    releases: Mapping[int, Release] = field(default_factory=dict)
    frozen: Hold | None = None
    spent: Hold | None = None
    orders: tuple[Order, ...] = ()
    replacement_asked_at: datetime | None = None

    def with_role(self, role: Role) -> list[Version]:
        """The versions in that role, newest first."""
        return sorted((v for v in self.versions.values() if v.role == role), key=lambda v: -v.number)

    @property
    def champion(self) -> Version | None:
        """The version that answers."""
        return next(iter(self.with_role("champion")), None)

    @property
    def last_good(self) -> Version | None:
        """The one to go back to."""
        return next(iter(self.with_role("last_good")), None)

    @property
    def stopped(self) -> Hold | None:
        """Why no release starts or goes on.

        A budget does not stop what takes the place of a degraded champion, or of none: it may be what gives it back.
        """
        if self.frozen is not None:
            return self.frozen
        return self.spent if self.champion is not None and self.champion.degraded is None else None

    @property
    def in_progress(self) -> Release | None:
        """The release that is under way; there is never more than one."""
        return next((r for r in self.releases.values() if r.state in IN_PROGRESS), None)


@dataclass(frozen=True)
class Limits:
    """What holds for every model: see RolloutSettings."""

    drain: timedelta
    standby: int
    replacement_pause: timedelta = timedelta(0)
