"""How often requests may be asked again: a share of a model's, so that retries never make an overload worse."""

import time
from collections.abc import Collection

PER_S = 10.0
BURST = 10 * PER_S
MOST = 500.0


class RetryBudget:
    """Allows retries up to a share of the requests, and a few a second; many at once, as a killed instance needs."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = BURST
        self._at = time.monotonic()

    def earn(self) -> None:
        """A request came."""
        if self._tokens >= MOST:
            return
        now = time.monotonic()
        if self._tokens < BURST:
            self._tokens = min(BURST, self._tokens + PER_S * (now - self._at))
        self._at = now
        self._tokens = min(MOST, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry is allowed; counts it."""
        if self._tokens < 1:
            return False
        if self._tokens >= MOST:  # until now, when nothing came of it
            self._at = time.monotonic()
        self._tokens -= 1
        return True


class RetryBudgets:
    """Each model's retries: another's can't use them up."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._of: dict[str, RetryBudget] = {}

    def of(self, model: str, served: Collection[str]) -> RetryBudget:
        """A model's budget; those of models that are not ``served`` any more go."""
        budget = self._of.get(model)
        if budget is None:
            self._of = {name: kept for name, kept in self._of.items() if name in served}
            budget = self._of[model] = RetryBudget(self._share)
        return budget
