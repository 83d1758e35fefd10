"""What travels in lanes: one request's rows for one instance, and how it may end."""

from collections.abc import Callable

import msgspec

from shipway.gateway.link import LinkLost


class Refused(Exception):  # noqa: N818
    """The instance answered, but not with scores."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


Scores = tuple[int, bytes]
Outcome = Scores | LinkLost | TimeoutError | Refused


class Item(msgspec.Struct, eq=False):
    """One request's rows on the way to one instance, which may take until ``until`` (of loop.time).

    ``settled`` gets (outputs a row, scores) or the error, once, unless the request is ``over`` before. ``alone``: it
    goes in a call of its own. ``beside``, of a shadow: the champion's scores.
    """

    values: bytes
    rows: int
    prediction_ids: bytes
    trace_id: bytes
    client_ids: list[str] | None
    role: str
    generation: int
    until: float
    settled: Callable[[Outcome], None]
    explain: bool = False
    alone: bool = False
    beside: bytes = b""
    over: bool = False

    def settle(self, outcome: Outcome) -> None:
        """Ends it."""
        if not self.over:
            self.over = True
            self.settled(outcome)
