"""What travels in lanes: one request's rows for one instance, and how it may end."""

from collections.abc import Callable

from shipway.gateway.link import LinkLost


class Refused(Exception):  # noqa: N818
    """The instance answered, but not with scores."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


Scores = tuple[int, bytes]
Outcome = Scores | LinkLost | TimeoutError | Refused


class Item:
    """One request's rows on the way to one instance, which may take until ``until`` (of loop.time).

    ``settled`` gets (outputs a row, scores) or the error, once, unless the request is ``over`` before.
    """

    __slots__ = (
        "alone",
        "beside",
        "client_ids",
        "explain",
        "generation",
        "over",
        "prediction_ids",
        "role",
        "rows",
        "settled",
        "trace_id",
        "until",
        "values",
    )

    def __init__(
        self,
        values: bytes,
        rows: int,
        prediction_ids: bytes,
        trace_id: bytes,
        client_ids: list[str] | None,
        role: str,
        generation: int,
        until: float,
        settled: Callable[[Outcome], None],
        explain: bool = False,
    ) -> None:
        self.values = values
        self.rows = rows
        self.prediction_ids = prediction_ids
        self.trace_id = trace_id
        self.client_ids = client_ids
        self.role = role
        self.generation = generation
        self.until = until
        self.settled = settled
        self.explain = explain
        self.alone = explain  # it takes long, which others are not to wait for
        self.over = False
        self.beside = b""  # of a shadow: the champion's scores

    def settle(self, outcome: Outcome) -> None:
        """Ends it."""
        if not self.over:
            self.over = True
            self.settled(outcome)
