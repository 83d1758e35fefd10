"""What ``monitoring.combinations`` must agree on with the rest of a model file."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from shipway.contract.spec.watching import PredictionLogSpec

MOST_COLUMNS = 8
LEAST_KEPT = timedelta(days=15)  # a day is held against two weeks before it, at least


def check_combinations(
    combinations: Sequence[Sequence[str]], features: Collection[str], log: PredictionLogSpec
) -> None:
    """Whether the prediction log has what is to be combined.

    Raises:
        ValueError: it has not, or what is said is no combination.
    """
    names = [", ".join(columns) for columns in combinations]
    if len(set(names)) < len(names):
        raise ValueError("monitoring.combinations: the same one twice; remove one")
    for columns in combinations:
        if not 2 <= len(columns) <= MOST_COLUMNS or len(set(columns)) < len(columns):
            raise ValueError(f"monitoring.combinations: each is of 2 to {MOST_COLUMNS} features, each named once")
        for name in columns:
            if name not in features:
                raise ValueError(
                    f"monitoring.combinations: {name[:100]!r} is not a feature; the prediction log has nothing else"
                )
            if name in log.redact:
                raise ValueError(
                    f"monitoring.combinations: {name!r} is redacted from the prediction log; remove one of them"
                )
    if combinations and log.sample == 0:
        raise ValueError("monitoring.combinations: the prediction log keeps no features; raise prediction_log.sample")
    if combinations and log.keep is not None and log.keep < LEAST_KEPT:
        raise ValueError(
            "monitoring.combinations: two weeks before a day are needed; prediction_log.keep must be 15d or more"
        )
