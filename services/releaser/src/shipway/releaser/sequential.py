"""Whether one version is worse than another: tests that stay valid however often one looks. Pure.

An e-process for the shares of two streams: the likelihood of what was seen under a mixture over all pairs of shares
(Jeffreys' prior on each), over its greatest likelihood under the hypothesis. Under the hypothesis the first is a test
martingale for each of its pairs, so by Ville's inequality the quotient ever reaches 1/alpha with probability alpha at
most, however often it is looked at and whenever one stops (Robbins 1970; Wasserman, Ramdas and Balakrishnan, Universal
inference, 2020; Ramdas, Grünwald, Vovk and Shafer, Game-theoretic statistics and safe anytime-valid inference, 2023).

A loss between 0 and 1 counts as that part of a failure: for a convex payoff that is a bet no better than a coin's
(Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, 2024), so it stays valid, though it
needs more answers than a test that uses the losses' smaller spread.
"""

from dataclasses import dataclass
from math import lgamma, log

_PRIOR = 0.5
_TINY = 1e-12
_HALVINGS = 60


@dataclass(frozen=True)
class Tally:
    """Of ``count`` answers ``bad`` were bad: failed, slow, or wrong (then the sum of losses)."""

    count: float
    bad: float

    @property
    def share(self) -> float:
        """The share that was bad; 0 where there were none."""
        return self.bad / self.count if self.count else 0.0


def worse(candidate: Tally, champion: Tally, margin: float) -> float:
    """Log evidence against "its share is at most ``margin`` above the champion's"; believe it from log(1/alpha) on."""
    if candidate.share <= champion.share + margin:
        return 0.0
    return _mixture(candidate) + _mixture(champion) - _best_on_border(candidate, champion, margin)


def within(candidate: Tally, champion: Tally, margin: float) -> float:
    """Log evidence against "its share is at least ``margin`` above the champion's": that it is not so much worse."""
    if candidate.share >= champion.share + margin:
        return 0.0
    return _mixture(candidate) + _mixture(champion) - _best_on_border(candidate, champion, margin)


def above(candidate: Tally, limit: float) -> float:
    """Log evidence against "its share is at most ``limit``"."""
    return _mixture(candidate) - _log_likelihood(candidate, limit) if candidate.share > limit else 0.0


def _mixture(tally: Tally) -> float:
    """Log of the likelihood, averaged over Jeffreys' prior: a quotient of beta functions."""
    return _log_beta(tally.bad + _PRIOR, tally.count - tally.bad + _PRIOR) - _log_beta(_PRIOR, _PRIOR)


def _best_on_border(candidate: Tally, champion: Tally, margin: float) -> float:
    """Log of the greatest likelihood where the shares differ by just ``margin``; a concave function, so by halving."""
    low, high = _TINY, 1 - margin - _TINY
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _slope(candidate, middle + margin) + _slope(champion, middle) > 0:
            low = middle
        else:
            high = middle
    return _log_likelihood(candidate, low + margin) + _log_likelihood(champion, low)


def _slope(tally: Tally, share: float) -> float:
    share = min(max(share, _TINY), 1 - _TINY)
    return tally.bad / share - (tally.count - tally.bad) / (1 - share)


def _log_likelihood(tally: Tally, share: float) -> float:
    share = min(max(share, _TINY), 1 - _TINY)
    return tally.bad * log(share) + (tally.count - tally.bad) * log(1 - share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
