"""Sections [data], [target] and [features]: what a version is trained on."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from shipway.contract.spec.values import Duration, Section, later

HISTORY = "history"


class Data(Section):
    """Where the rows are, and which of them a training and its judgement see.

    A training request ``until`` T trains on ``[T - holdout - gap - train, T - holdout - gap)`` and is judged on
    ``[T - holdout, T)``, which training never sees.
    """

    source: str = Field(
        min_length=1,
        max_length=1000,
        description='a Parquet folder ("folder:/data/x"), a prefix in the object store ("objects:x/"), or "history",'
        " the model's own predictions with the labels that came since",
    )
    base: str | None = later(
        None,
        min_length=1,
        max_length=1000,
        description='with source = "history": a folder or a prefix whose rows are trained on as well',
    )
    time_column: str = Field(min_length=1, description="a timestamp or date column; rows are put in windows by it")
    id_column: str | None = Field(default=None, description="a column that names the row, for reports only")
    query_column: str | None = later(
        None,
        min_length=1,
        description='with target.kind = "ranking": the column that says which rows are ranked together, such as the'
        " id of the search or of the page that showed them",
    )
    train: Duration = Field(description="length of the training window")
    holdout: Duration = Field(description="length of the holdout window, the newest part")
    gap: Duration = Field(default=timedelta(0), description="left out between the two, where labels ripen late")
    max_rows: int = Field(default=5_000_000, ge=100, le=100_000_000, description="more rows in a window are an error")

    @property
    def from_history(self) -> bool:
        """Whether the model is trained on its own predictions."""
        return self.source == HISTORY

    @property
    def files(self) -> str | None:
        """The folder or prefix that is read, if there is one."""
        return self.base if self.from_history else self.source

    @model_validator(mode="after")
    def _known_source(self) -> "Data":
        known = ("folder:", "objects:")
        if not self.from_history and not self.source.startswith(known):
            raise ValueError('source: must be "folder:/path/to/parquet", "objects:prefix/" or "history"')
        if self.base is not None and not self.from_history:
            raise ValueError('base: goes with source = "history"; remove it, or change the source')
        if self.base is not None and not self.base.startswith(known):
            raise ValueError('base: must be "folder:/path/to/parquet" or "objects:prefix/"')
        return self


class Target(Section):
    """The column to predict. Rows without it are set aside and counted."""

    column: str = Field(min_length=1, description="the column to predict")
    kind: Literal["binary", "multiclass", "regression", "ranking"] = Field(
        description="binary, multiclass, regression, or ranking: the target is a relevance, a whole number from 0 to 30"
    )
    classes: list[str] | None = Field(
        default=None,
        min_length=2,
        max_length=1000,
        description="in the order of the output; default: as found, sorted",
    )


class FeatureSpec(Section):
    """One input column."""

    type: Literal["number", "category", "boolean"] = Field(description="number, category or boolean")
    categories: list[str] | None = Field(
        default=None, min_length=1, description="known values; default: those in the training window"
    )
    nullable: bool = Field(default=True, description="null is allowed, and is a missing value")
    optional: bool = Field(default=False, description="a prediction may leave the field out")
    unseen: Literal["missing", "error"] = Field(default="missing", description="what an unknown category is")
    # Left out where they are not said, as prediction_log.keep is.
    min: float | None = Field(
        default=None,
        allow_inf_nan=False,
        exclude_if=lambda least: least is None,
        description="of a number: rows with less are not trained on",
    )
    max: float | None = Field(
        default=None,
        allow_inf_nan=False,
        exclude_if=lambda most: most is None,
        description="of a number: rows with more are not trained on",
    )

    @model_validator(mode="after")
    def _range_for_numbers(self) -> "FeatureSpec":
        if self.type != "number" and (self.min is not None or self.max is not None):
            raise ValueError('min: goes with max and type = "number"; remove them or change the type')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is more than max, {self.max:g}; exchange them")
        return self

    @model_validator(mode="after")
    def _categories_for_categories(self) -> "FeatureSpec":
        if self.categories is not None and self.type != "category":
            raise ValueError('categories: go with type = "category"; remove them or change the type')
        return self
