"""BentoML's service for the bench; runs in BentoML's own environment."""

import os

import bentoml  # type: ignore[import-not-found,unused-ignore]
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Bench:
    """Scores rows."""

    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["MODEL_FILE"])

    @bentoml.api  # type: ignore[untyped-decorator,unused-ignore]
    def predict(self, rows: list[list[float]]) -> list[float]:
        """The probability of each row."""
        return list(map(float, self.booster.predict(np.array(rows), num_threads=1)))
