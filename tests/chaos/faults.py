"""The fault kinds, as data, and the seeded plan of their order and moments. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Manner = Literal[
    "killed",  # SIGKILL; the supervisor starts it again
    "wiped",  # started again without its data
    "child killed",  # SIGKILL to what it has started itself
    "paused",  # SIGSTOP to it and its children
    "refused",  # connections end, new ones are refused
    "black hole",  # connections stay open, nothing passes, and it goes on where it was when lifted
    "slow",  # every chunk takes 150 ms longer
    "half-open",  # the far end forgot the connections without telling; new ones work
    "full",  # the disk has no room left
    "away",  # the folder can't be used
    "an hour ahead",  # its clock jumps, and back
    "an hour behind",
]
Moment = Literal["at rest", "asked", "accepted", "completed", "approved", "released"]
MOMENTS: tuple[Moment, ...] = ("at rest", "asked", "accepted", "completed", "approved", "released")
PREDICTORS = ("predictor-1", "predictor-2")


@dataclass(frozen=True)
class Blow:
    """What is done to whom. A target is a process, ``objects``, or a connection: ``gateway>broker``, ``*>broker``."""

    target: str
    manner: Manner

    def __str__(self) -> str:
        return f"{self.target.replace('*', 'all')} {self.manner}"


@dataclass(frozen=True)
class Fault:
    """One or more blows at once, held for ``hold_s``.

    ``may_fail``: requests may fail, as the gateway or every predictor is gone. ``quick``: in the short run too.
    """

    blows: tuple[Blow, ...]
    hold_s: float
    may_fail: bool = False
    quick: bool = False

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return " + ".join(str(blow) for blow in self.blows)

    @property
    def loses_records_s(self) -> float:
        """How many seconds of prediction records may be lost: those in a predictor's memory, or in a broker's."""
        return sum(
            (blow.target in (*PREDICTORS, "broker")) * (blow.manner in ("killed", "wiped")) for blow in self.blows
        )


def _one(target: str, manner: Manner, hold_s: float = 0.0, *, may_fail: bool = False, quick: bool = False) -> Fault:
    return Fault((Blow(target, manner),), hold_s, may_fail, quick)


def _both(first: Blow, second: Blow, hold_s: float = 0.0, *, may_fail: bool = False, quick: bool = False) -> Fault:
    return Fault((first, second), hold_s, may_fail, quick)


FAULTS: tuple[Fault, ...] = (
    _one("trainer", "killed", quick=True),
    _one("evaluator", "killed", quick=True),
    _one("releaser", "killed", quick=True),
    _one("predictor-1", "killed", quick=True),
    _one("gateway", "killed", may_fail=True, quick=True),
    _one("monitor", "killed", quick=True),
    _one("broker", "killed", quick=True),
    _one("postgres", "killed", quick=True),
    _one("broker", "wiped", quick=True),
    _one("trainer", "child killed"),
    _one("trainer", "paused", 4),
    _one("evaluator", "paused", 4),
    _one("releaser", "paused", 4),
    _one("predictor-1", "paused", 4, quick=True),
    _one("gateway", "paused", 3, may_fail=True),
    _one("monitor", "paused", 4),
    _one("broker", "paused", 6, quick=True),
    _one("postgres", "paused", 6, quick=True),
    _one("*>broker", "refused", 5, quick=True),
    _one("*>broker", "black hole", 8, quick=True),
    _one("*>broker", "slow", 6),
    _one("*>broker", "half-open", 2, quick=True),
    _one("*>postgres", "refused", 5, quick=True),
    _one("*>postgres", "black hole", 8),
    _one("*>postgres", "slow", 6),
    _one("*>postgres", "half-open", 2, quick=True),
    _one("trainer>postgres", "black hole", 8),
    _one("evaluator>broker", "refused", 5),
    _one("releaser>postgres", "refused", 5),
    _one("releaser>broker", "half-open", 2),
    _one("predictor-1>broker", "black hole", 8),
    _one("gateway>broker", "black hole", 8),
    _one("monitor>broker", "half-open", 2),
    _one("monitor>postgres", "refused", 5),
    _one("gateway>predictor-1", "refused", 4, quick=True),
    _one("gateway>predictor-1", "black hole", 4, quick=True),
    _one("gateway>predictor-1", "slow", 4),
    _one("gateway>predictor-1", "half-open", 2),
    _one("objects", "full", 5, quick=True),
    _one("objects", "away", 5, quick=True),
    _one("releaser", "an hour ahead", 6),
    _one("releaser", "an hour behind", 6, quick=True),
    _one("trainer", "an hour ahead", 6),
    _one("trainer", "an hour behind", 6),
    _one("monitor", "an hour ahead", 6),
    _one("evaluator", "an hour behind", 6),
    _one("predictor-1", "an hour ahead", 6),
    _one("gateway", "an hour behind", 6),
    _both(Blow("predictor-1", "killed"), Blow("predictor-2", "killed"), may_fail=True),
    _both(Blow("broker", "killed"), Blow("releaser", "killed"), quick=True),
    _both(Blow("postgres", "killed"), Blow("trainer", "killed")),
    _both(Blow("broker", "wiped"), Blow("predictor-1", "killed")),
    _both(Blow("*>broker", "black hole"), Blow("*>postgres", "black hole"), 8, quick=True),
    _both(Blow("gateway>broker", "black hole"), Blow("predictor-1", "killed"), 6),
    _both(Blow("objects", "away"), Blow("predictor-1", "killed"), 5, quick=True),
    _both(Blow("evaluator", "killed"), Blow("postgres", "paused"), 5),
    _both(Blow("broker", "killed"), Blow("postgres", "killed")),
)


@dataclass(frozen=True)
class Planned:
    """A fault, and when it strikes: ``delay_s`` after a moment in a training's life."""

    fault: Fault
    moment: Moment
    delay_s: float


def plan(faults: Sequence[Fault], seed: int) -> list[Planned]:
    """Every fault once, in an order, at moments and with delays that the seed decides."""
    rng = random.Random(seed)
    shuffled = rng.sample(list(faults), len(faults))
    return [Planned(fault, rng.choice(MOMENTS), round(rng.uniform(0, 0.6), 2)) for fault in shuffled]
