"""What people have told the releaser of a model's releases, by its own answers: frozen, held, pinned. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Hand:
    """How releases of a model stand to people's orders."""

    frozen: bool = False
    held: frozenset[int] = field(default_factory=frozenset)
    pinned: frozenset[int] = field(default_factory=frozenset)
    approved: frozenset[int] = field(default_factory=frozenset)


_SETS = {"hold": ("held", True), "resume": ("held", False), "pin": ("pinned", True), "unpin": ("pinned", False)}


def hand_of(answers: Iterable[Mapping[str, Any]]) -> Hand:
    """The hand after these answers to commands (CommandAnswered's payloads), the oldest first; refused ones count not.

    A restored version is pinned, and one that was retired is pinned no more.
    """
    frozen = False
    sets: dict[str, set[int]] = {"held": set(), "pinned": set(), "approved": set()}
    for said in answers:
        if not said.get("done"):
            continue
        action, version = said.get("action"), said.get("version")
        if action in ("freeze", "unfreeze"):
            frozen = action == "freeze"
        elif version is None:
            continue
        elif action in _SETS:
            name, on = _SETS[str(action)]
            (sets[name].add if on else sets[name].discard)(version)
        elif action == "approve":
            sets["approved"].add(version)
        elif action == "restore":
            sets["pinned"].add(version)
        elif action == "retire":
            sets["pinned"].discard(version)
    return Hand(frozen, *(frozenset(sets[name]) for name in ("held", "pinned", "approved")))
