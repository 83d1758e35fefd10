"""A version beside the champion, over the monitor's own rule of retirement by labels (`retirement.when_worse`).

The version served for a while and has the labels of that time; the champion's come a hundred at a time, and the rule
looks each time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from shipway.monitor.quality import Quality, watched_loss
from shipway.monitor.retirement import Policy, ServedVersion, to_retire

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(max_age=timedelta(days=90), unused_for=timedelta(days=30), when_worse=True)
AT_ONCE = 100


@dataclass(frozen=True)
class Outcome:
    """Whether the version was retired, and how many labels the champion had by then, or at the end."""

    retired: bool
    labels: int


def retired(seed: int, loss: float, champion_loss: float = 0.15, had: int = 5000, looks: int = 200) -> Outcome:
    """A version of that mean loss with ``had`` labels, beside a champion that gets its own look by look."""
    random = np.random.default_rng(seed)
    old, champion = Quality(), Quality()
    _label(old, random, loss, had)
    for look in range(1, looks + 1):
        _label(champion, random, champion_loss, AT_ONCE)
        now = START + look * timedelta(minutes=10)
        if to_retire([_served(1, "standby", old), _served(2, "champion", champion)], POLICY, now):
            return Outcome(True, champion.labelled)
    return Outcome(False, champion.labelled)


def _label(quality: Quality, random: np.random.Generator, loss: float, labels: int) -> None:
    """So many labels more, with losses as a probability's would be."""
    losses = random.beta(2 * loss, 2 * (1 - loss), labels)
    quality.labelled += labels
    quality.loss_sum += float(losses.sum())
    quality.loss_square_sum += float((losses**2).sum())


def _served(version: int, state: str, quality: Quality) -> ServedVersion:
    return ServedVersion(version, state, START, None, START, loss=watched_loss(quality))
