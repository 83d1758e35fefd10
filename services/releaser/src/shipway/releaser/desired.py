"""What instances must hold and how traffic splits, from the roles of a model's versions: one function, no more."""

from shipway.releaser.state import Desired, HeldRole, Model, Role


def wanted(model: Model) -> Desired:
    """The desired state that the roles amount to; equal roles and shares give an equal value.

    The champion has all traffic but the candidate's share; nothing else has any. A shadow has none, but copies. A
    leaving version is held on standby until it has drained.
    """
    champion, release = model.champion, model.in_progress
    held: list[tuple[int, HeldRole]] = []
    for role, shown in _HELD:
        held += [(version.number, shown) for version in model.with_role(role)]
    traffic: list[tuple[int, float]] = []
    shadow: tuple[int, float] | None = None
    if champion is not None:
        share = release.share if release is not None else 0.0
        if share < 1:
            traffic.append((champion.number, 1.0 - share))
        if release is not None and share > 0:
            traffic.append((release.version, share))
        if release is not None and release.state == "shadow":
            shadow = (release.version, release.policy.shadow)
    sticky = release.policy.sticky if release is not None and len(traffic) > 1 else ""
    return Desired(tuple(held), tuple(traffic), shadow, sticky)


_HELD: tuple[tuple[Role, HeldRole], ...] = (
    ("champion", "champion"),
    ("candidate", "candidate"),
    ("last_good", "last_good"),
    ("standby", "standby"),
    ("leaving", "standby"),
)
