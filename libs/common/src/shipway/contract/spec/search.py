"""Section [search]: what a search for better parameters may try, for how long, and how many versions come of it."""

import difflib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field, model_validator

from shipway.contract.spec.training import PARAMS
from shipway.contract.spec.values import Duration, Section

# What the objective is decides what a model is for; it is not for a search to choose.
_FIXED = frozenset({"objective", "alpha", "tweedie_variance_power"})


class ParamRange(Section):
    """What a parameter may be: a number from ``min`` to ``max``, or one ``of`` several values."""

    min: float | int | None = Field(default=None, allow_inf_nan=False, description="the least")
    max: float | int | None = Field(default=None, allow_inf_nan=False, description="the most")
    log: bool = Field(default=False, description="small values are tried as often as large ones; needs min above 0")
    of: list[Any] | None = Field(default=None, min_length=1, max_length=100, description="or one of these values")

    @model_validator(mode="after")
    def _range_or_values(self) -> "ParamRange":
        if self.of is not None and (self.min is not None or self.max is not None or self.log):
            raise ValueError("of: says all the values; remove min, max and log, or remove of")
        if self.of is None and (self.min is None or self.max is None):
            raise ValueError("min: goes with max; give both, or the values themselves as of")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min: {self.min:g} is not less than max, {self.max:g}; exchange them, or use of")
        if self.log and self.min is not None and self.min <= 0:
            raise ValueError("min: must be above 0 with log = true")
        return self


DEFAULT_SPACE: Mapping[str, ParamRange] = {
    "learning_rate": ParamRange(min=0.01, max=0.3, log=True),
    "num_leaves": ParamRange(min=7, max=255, log=True),
    "min_data_in_leaf": ParamRange(min=5, max=200, log=True),
    "feature_fraction": ParamRange(min=0.5, max=1.0),
    "lambda_l2": ParamRange(min=0.001, max=30.0, log=True),
}


class Search(Section):
    """How parameters are looked for when ``shipway search`` asks. What is found waits for a person's approval."""

    trials: int = Field(default=30, ge=1, le=1000, description="trainings with other parameters, at most")
    time_limit: Duration = Field(
        default=timedelta(minutes=30), gt=timedelta(0), description="no trial begins or goes on after that"
    )
    candidates: int = Field(default=1, ge=1, le=10, description="versions that are made of the best trials")
    prune: bool = Field(default=True, description="end trials early that do worse than others did so far")
    space: dict[str, ParamRange] = Field(
        default_factory=dict,
        max_length=len(PARAMS),
        description="by LightGBM parameter; default: learning_rate, num_leaves, min_data_in_leaf, feature_fraction, "
        "lambda_l2",
    )

    @model_validator(mode="after")
    def _known_params(self) -> "Search":
        for name, space in self.space.items():
            allowed = PARAMS.get(name)
            if allowed is None or name in _FIXED:
                close = difflib.get_close_matches(name, set(PARAMS) - _FIXED, 1)
                hint = f"did you mean {close[0]!r}?" if close else "see training.params"
                raise ValueError(f"space.{name}: is not a parameter that can be searched; {hint}")
            values = [value for value in (space.min, space.max, *(space.of or [])) if value is not None]
            wrong = [v for v in values if not isinstance(v, allowed) or (isinstance(v, bool) and bool not in allowed)]
            if wrong:
                raise ValueError(f"space.{name}: must be {allowed[0].__name__}, not {wrong[0]!r}")
            if space.of is None and not {int, float} & set(allowed):
                raise ValueError(f"space.{name}: is no number; give its values as of")
        return self

    @property
    def tried(self) -> Mapping[str, ParamRange]:
        """The parameters that are tried, and from where to where."""
        return self.space or DEFAULT_SPACE
