"""The limits that a spec leaves to the metric: a hundredth is one thing for an AUC, another for an error in euros."""

from collections.abc import Mapping

from shipway.contract.spec import ModelSpec

# Of auc, log_loss and accuracy in the metric's unit; of rmse and mae as a share of the figure compared with.
RELATIVE = frozenset({"rmse", "mae"})
_REGRESSION: Mapping[str, float] = {"rmse": 0.02, "mae": 0.02}
_SLICE_REGRESSION: Mapping[str, float] = {"rmse": 0.10, "mae": 0.10}
_SPREAD: Mapping[str, float] = {"log_loss": 0.05, "rmse": 0.10, "mae": 0.10}


def regression_limit(spec: ModelSpec, theirs: float) -> float:
    """How much worse than the champion's figure ``theirs`` a version may be."""
    return _limit(spec.gates.max_regression, _REGRESSION.get(spec.metric, 0.01), spec.metric, theirs)


def slice_limit(spec: ModelSpec, theirs: float) -> float:
    """How far a slice may fall below the champion's figure ``theirs`` there."""
    return _limit(spec.gates.max_slice_regression, _SLICE_REGRESSION.get(spec.metric, 0.05), spec.metric, theirs)


def spread_limit(spec: ModelSpec, mean: float) -> float:
    """How far the metric may spread over trainings whose mean figure is ``mean``."""
    return _limit(spec.gates.max_spread, _SPREAD.get(spec.metric, 0.03), spec.metric, mean)


def _limit(said: float | None, usual: float, metric: str, figure: float) -> float:
    if said is not None:
        return said
    return usual * abs(figure) if metric in RELATIVE else usual
