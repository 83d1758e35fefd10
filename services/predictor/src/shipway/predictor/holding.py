"""What an instance is to load and to unload, from what it is told to hold and what it holds. Pure.

Make before break: a version goes only after every version that its model is to have is there (or can't be).
A model whose desired state is unknown keeps what it has: silence is no order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Key = tuple[str, int]
"""A model's name and a version's number."""


@dataclass(frozen=True)
class Wanted:
    """A version that the desired state names."""

    model: str
    version: int
    digest: str
    role: str

    @property
    def key(self) -> Key:
        """Which version it is."""
        return self.model, self.version


@dataclass(frozen=True)
class Held:
    """A version that the instance has to do with. ``retry_at`` is for a load that an outage ended."""

    digest: str
    state: Literal["loading", "ready", "failed", "waiting"]
    reason: str = ""
    retry_at: float = 0.0
    tries: int = 0


@dataclass(frozen=True)
class Steps:
    """What to do now."""

    load: Sequence[Wanted]
    unload: Sequence[Key]


def next_steps(wanted: Mapping[str, Sequence[Wanted]], held: Mapping[Key, Held], now: float, free_loads: int) -> Steps:
    """The loads to begin (champions first, at most ``free_loads``) and the versions to drop.

    ``wanted`` has an entry for each model whose desired state is known, possibly empty.
    """
    to_load = [w for versions in wanted.values() for w in versions if _needs_load(w, held.get(w.key), now)]
    to_load.sort(key=lambda w: (w.role != "champion", w.model, w.version))
    unload = [
        key
        for key, have in held.items()
        if key[0] in wanted
        and key[1] not in {w.version for w in wanted[key[0]]}
        and have.state != "loading"
        and all(_settled(w, held.get(w.key)) for w in wanted[key[0]])
    ]
    return Steps(to_load[: max(0, free_loads)], unload)


def after_outage(have: Held, reason: str, now: float) -> Held:
    """A load that an outage ended: tried again after a pause that grows from 0.5 to 15 s."""
    pause = min(15.0, 0.5 * 2 ** min(have.tries, 10))
    return Held(have.digest, "waiting", reason, now + pause, have.tries + 1)


def unready(wanted: Mapping[str, Sequence[Wanted]], held: Mapping[Key, Held]) -> list[str]:
    """Why the instance can't do its work: each champion that is neither ready nor impossible."""
    return [
        f"{w.model} version {w.version} is {have.state if (have := held.get(w.key)) else 'not loaded'}"
        for versions in wanted.values()
        for w in versions
        if w.role == "champion" and not _settled(w, held.get(w.key))
    ]


def idle(wanted: Mapping[str, Sequence[Wanted]], held: Mapping[Key, Held]) -> list[str]:
    """Why an instance whose image brings its versions has nothing to answer with; empty while it has one.

    One that holds whatever is wanted waits for that; this one would be of no use for ever.
    """
    wishes = [w for versions in wanted.values() for w in versions]
    if not wishes:
        return ["no version of this image is to be held: its release has not begun, or it was rolled back or retired"]
    if any(_settled(w, held.get(w.key)) and held[w.key].state == "ready" for w in wishes):
        return []
    return [_in_words(w, held.get(w.key)) for w in wishes]


def _in_words(wish: Wanted, have: Held | None) -> str:
    state = have.state if have is not None and have.digest == wish.digest else "not loaded"
    why = f": {have.reason}" if have is not None and have.reason else ""
    return f"{wish.model} version {wish.version} is {state}{why}"


def _needs_load(wish: Wanted, have: Held | None, now: float) -> bool:
    if have is None:
        return True
    if have.state == "loading":
        return False
    if have.digest != wish.digest:
        return True
    return have.state == "waiting" and have.retry_at <= now


def _settled(wish: Wanted, have: Held | None) -> bool:
    return have is not None and have.digest == wish.digest and have.state in ("ready", "failed")
