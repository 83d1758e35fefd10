"""What a window of the prediction history holds, in figures. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class HistorySummary:
    """What a window of the history holds: ``predictions`` that are ripe, ``labelled`` ones, ``rows`` to train on.

    ``left_out`` are labelled ones that are no rows, by why; ``candidate_rows`` were answered by a candidate, which
    only chance chose to ask; ``versions``: the rows that each version answered.
    """

    predictions: int
    labelled: int
    rows: int
    candidate_rows: int
    left_out: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def exploration_share(self) -> float:
        """The share of rows that a candidate answered."""
        return self.candidate_rows / self.rows if self.rows else 0.0
