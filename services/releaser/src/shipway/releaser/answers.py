"""What the answers to operators share: which version is meant, where it is, and why a command can't be obeyed. Pure."""

from shipway.releaser.state import Cause, Order, Release, Version
from shipway.releaser.steps import Change, Situation, on_hold

Outcome = tuple[Change, str]


class Impossible(Exception):  # noqa: N818
    """The command can't be obeyed; the message is the answer to who gave it."""


def cause_of(order: Order, figures: dict[str, float] | None = None) -> Cause:
    """The operator's reason, with who gave it."""
    return Cause(f"{order.by}: {order.reason}", f"operator {order.by}", figures or {})


def version_of(at: Situation, order: Order, default: Version | None = None) -> Version:
    """The version that is meant.

    Raises:
        Impossible: none was named, or there is no such version.
    """
    if order.version is None:
        if default is None:
            raise Impossible("name the version")
        return default
    found = at.model.versions.get(order.version)
    if found is None:
        raise Impossible(f"no version {order.version} of {at.model.name} was ever approved")
    return found


def release_of(at: Situation, version: Version) -> Release:
    """The version's release."""
    return at.model.releases[version.number]


def named(order: Order) -> str:
    """The version that was named, in words."""
    return f"version {order.version}" if order.version is not None else "any version"


def place(at: Situation, version: Version) -> str:
    """Where a version is, in words."""
    release = release_of(at, version)
    hold = on_hold(at.model, release)
    held = f", on hold: {hold.reason}" if hold is not None else ""
    return f"it is {version.role.replace('_', ' ')}, its release {release.state.replace('_', ' ')}{held}"
