"""The values that releases are decided over: a model with its versions, releases and orders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shipway.contract import events as e
from shipway.contract.spec import Release as Policy
from shipway.releaser.counts import NO_EVIDENCE, UNLABELLED, Evidence, Quality

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
    quality: Quality = UNLABELLED
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
    evidence: Evidence = NO_EVIDENCE
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
