"""Whether training is stable: a version whose quality hangs on the seed, or on a few rows, is not to be trusted."""

import math
import statistics

from shipway.contract.events import Gate
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Stability
from shipway.evaluator.gates.limits import spread_limit
from shipway.evaluator.gates.outcome import gate

NAME = "stability"


def stable(spec: ModelSpec, found: Stability | None, origin: str) -> Gate:
    """The metric spreads little over quick trainings with other seeds on other draws of the rows."""
    if not spec.gates.stability_runs:
        return gate(NAME, True, "not asked for (gates.stability_runs = 0)")
    if origin == "import":
        return gate(NAME, True, "trained elsewhere; it can't be trained again here")
    if found is None:
        return gate(NAME, False, "there are no rows to train on again")
    if found.problem is not None:
        remedy = "raise gates.stability_time, or lower stability_runs or stability_rows"
        return gate(NAME, False, f"{found.problem}; {remedy}")
    if len(found.figures) < 2:
        return gate(NAME, False, f"{spec.metric} is not defined on this holdout")
    spread, mean = statistics.stdev(found.figures), statistics.fmean(found.figures)
    limit = spread_limit(spec, mean)
    words = (
        f"{spec.metric} {min(found.figures):.4g} to {max(found.figures):.4g} over {len(found.figures)} quick trainings"
        f" ({found.rounds} rounds on {found.rows:,} rows): spread {spread:.3g}, {limit:.3g} is allowed"
    )
    return gate(NAME, math.isfinite(spread) and spread <= limit, words, spread, limit)
