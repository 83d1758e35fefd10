"""What a gate says, and the words for what can't be judged."""

import math

from shipway.bundle.metrics import HIGHER_IS_BETTER
from shipway.contract.events import Gate

NOT_JUDGED = "not judged: "
UNREADABLE = NOT_JUDGED + "the bundle can't be read"


def gate(name: str, passed: bool, reason: str, figure: float | None = None, limit: float | None = None) -> Gate:
    """A gate's outcome; a figure that is no number is left out."""
    finite = figure if figure is not None and math.isfinite(figure) else None
    return Gate(name=name, passed=passed, figure=finite, limit=limit, reason=reason)


def problem_gate(name: str, problem: str | None, well: str) -> Gate:
    """A gate that only a problem fails."""
    return gate(name, problem is None, problem or well)


def not_worse(metric: str, figure: float, limit: float) -> bool:
    """Whether a metric's figure keeps to a limit."""
    return figure >= limit if HIGHER_IS_BETTER[metric] else figure <= limit


def apart(figure: float) -> str:
    """A difference in words."""
    return f"better by {figure:.4g}" if figure > 0 else f"worse by {-figure:.4g}" if figure < 0 else "the same"
