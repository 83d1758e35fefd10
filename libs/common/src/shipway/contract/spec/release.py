"""Sections [release] and [retirement]: how a version takes over, and when it goes."""

import re
from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from shipway.contract.spec.values import Duration, Section, Share, later

_STICKY = re.compile(r"header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}|feature:.{1,200}")


class Release(Section):
    """How a version takes over."""

    min_instances: int = Field(
        default=1, ge=1, le=1000, description="instances that must hold it, checked, before it takes traffic"
    )
    canary: list[Share] = Field(
        default=[0.1, 0.5], max_length=20, description="shares of traffic, step by step; empty: all at once"
    )
    step: Duration = Field(default=timedelta(seconds=60), description="how long each canary step lasts")
    min_requests: int = Field(default=20, ge=0, description="answers needed in a step to judge it")
    max_error_share: Share = Field(default=0.01, description="more errors than this in a step roll it back")
    loading_deadline: Duration = Field(default=timedelta(minutes=5), description="not ready by then: rolled back")
    step_deadline: Duration = Field(
        default=timedelta(minutes=30), description="too few answers by then: on_insufficient decides"
    )
    on_insufficient: Literal["promote", "roll_back"] = Field(
        default="promote", description="what too little traffic to judge by ends in"
    )
    # Those below are left out where they are not said, so that a service of an older release reads what a newer one
    # writes.
    approval: Literal["auto", "manual"] = Field(
        default="auto",
        exclude_if=lambda approval: approval == "auto",
        description="manual: each version waits for `shipway approve` before it is released",
    )
    hold_limit: Duration = Field(
        default=timedelta(days=7),
        exclude_if=lambda limit: limit == timedelta(days=7),
        description="a release that waits so long for a person (approval, hold, freeze) is rolled back",
    )
    bake: Duration = Field(
        default=timedelta(0),
        exclude_if=lambda bake: bake == timedelta(0),
        description="how long it has all the traffic, after the last canary step, before it is the champion",
    )
    evidence: Literal["seen", "shown"] = Field(
        default="seen",
        exclude_if=lambda evidence: evidence == "seen",
        description="what a canary step needs: min_requests answers and no harm seen, or that no harm is shown",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        exclude_if=lambda alpha: alpha == 0.05,
        description="chance at most that a version as good as the champion is taken for worse, over the whole canary",
    )
    worse_by: Share = Field(
        default=0.01,
        lt=1,
        exclude_if=lambda share: share == 0.01,
        description="how much larger a share of its answers may fail than of the champion's",
    )
    slower_by: Share = Field(
        default=0.1,
        lt=1,
        exclude_if=lambda share: share == 0.1,
        description="how much larger a share of its answers may be slow than of the champion's; "
        "slow is what one in ten of the champion's are when the step begins",
    )
    loss_worse_by: Share = Field(
        default=0.02,
        lt=1,
        exclude_if=lambda loss: loss == 0.02,
        description="how much larger its mean loss by labels may be than the champion's, of 0 to 1",
    )
    shadow: Share = later(
        0.0,
        description="share of the requests that are copied to it before its canary; its answers are judged, and go "
        "to nobody; 0: no shadow",
    )
    shadow_for: Duration = later(
        timedelta(minutes=5),
        description="how long it is a shadow; min_requests, evidence and step_deadline hold as in a canary step",
    )
    max_distance: Share = later(
        0.25,
        description="how far a shadow's scores may lie from the champion's for the same rows, on average, of 0 to 1",
    )
    sticky: str = later(
        "",
        description="what keeps a client with one version during a canary, header:X-Shipway-Key or feature:NAME: "
        "requests in which it is the same have the same version; default: each request is drawn anew",
    )

    @model_validator(mode="after")
    def _sticks_to_something(self) -> "Release":
        if self.sticky and not (_STICKY.fullmatch(self.sticky) and self.sticky.isprintable()):
            raise ValueError(f"sticky: {self.sticky[:100]!r} must be header:NAME or feature:NAME")
        return self

    @model_validator(mode="after")
    def _rising(self) -> "Release":
        if list(self.canary) != sorted(set(self.canary)) or any(share in (0, 1) for share in self.canary):
            raise ValueError("canary: must be rising shares between 0 and 1, such as [0.1, 0.5]")
        return self


class Retirement(Section):
    """When a version goes. One that is still needed never does: champion, last good, or in a release."""

    max_age: Duration = Field(description="older versions go, once unused")
    unused_for: Duration = Field(description="time without a prediction after which a version counts as unused")
    keep_bundles: bool = Field(
        default=True, description="only true is possible: remove_bundles_after says where they are not kept for ever"
    )
    remove_bundles_after: Duration | None = later(
        None,
        ge=timedelta(hours=1),
        description="a retired version's bundle is removed so long after the version has left the instances, and until "
        "then it can be restored; default: never",
    )
    when_worse: bool = later(
        False,
        description="older versions also go once their labels show them to be worse than the champion: their intervals "
        "of the mean loss lie apart",
    )

    @model_validator(mode="after")
    def _bundles_stay(self) -> "Retirement":
        if not self.keep_bundles:
            raise ValueError('keep_bundles: say for how long they are kept instead: remove_bundles_after = "30d"')
        return self
