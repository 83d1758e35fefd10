"""LightGBM, run by the spec: deterministic, stopped early on the newest rows, given back as its text model.

The trainer makes versions with it, the evaluator quick ones, to see how far chance moves them. It imports lightgbm.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shipway.bundle.ranking import Codes, sizes_of
from shipway.contract.errors import Permanent
from shipway.contract.signature import Signature
from shipway.contract.spec import DEFAULT_OBJECTIVE, ModelSpec
from shipway.runtime.lean import without_pandas

with without_pandas():
    import lightgbm

Matrix = npt.NDArray[np.float64]
OnRound = Callable[[int, int], None]
OnLoss = Callable[[int, float], None]


@dataclass(frozen=True)
class Prepared:
    """Rows in the order of time: features (rows, features), labels (rows,); the last ones validate. ``days``: how many
    are of each UTC day, one after another; none where that is not known.

    Of a ranking the rows of a query lie together, on one side of that cut, and ``queries`` (rows,) numbers them.
    """

    features: Matrix
    labels: Matrix
    validation_rows: int
    days: tuple[int, ...] = ()
    queries: Codes | None = None


@dataclass(frozen=True)
class Trained:
    """A text model. ``rounds`` is how many trees a class it has, ``gains`` each feature's total gain."""

    text: bytes
    rounds: int
    gains: list[float]
    booster: Any

    def scores(self, features: Matrix) -> Matrix:
        """What the text model gives, (rows, outputs)."""
        return np.asarray(self.booster.predict(features), dtype=np.float64).reshape(len(features), -1)


def parameters(spec: ModelSpec, signature: Signature, max_threads: int) -> dict[str, Any]:
    """LightGBM's parameters: the spec's, and those that make two runs on the same rows give the same model."""
    threads = spec.training.threads or os.cpu_count() or 1
    params = {"objective": DEFAULT_OBJECTIVE.get(spec.target.kind, spec.target.kind), **spec.training.params}
    if signature.output == "ranking":
        params |= {"metric": "ndcg", "eval_at": [spec.gates.ndcg_at]}
    if signature.output == "multiclass":
        params["num_class"] = len(signature.classes)
    return params | {
        "seed": spec.training.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": min(threads, max_threads or threads),
        "verbosity": 1,
    }


def boost(
    spec: ModelSpec,
    signature: Signature,
    prepared: Prepared,
    max_threads: int,
    on_round: OnRound = lambda _d, _r: None,
    on_loss: OnLoss = lambda _d, _l: None,
) -> Trained:
    """Trains a model; ``on_round`` hears of each round done, and how many there are at most.

    ``on_loss`` hears of the loss on the rows that validate after each round; smaller is better. Either may raise, which
    ends the training.

    Columns are named f0, f1, ... in the model: LightGBM takes few characters in names, and the signature has them.

    Raises:
        Permanent: LightGBM refuses the parameters or the data.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    lightgbm.register_logger(logging.getLogger("lightgbm"))
    params = parameters(spec, signature, max_threads)
    rounds, cut = spec.training.rounds, len(prepared.labels) - prepared.validation_rows
    callbacks: list[Any] = [lambda env: on_round(env.iteration + 1, rounds), lightgbm.log_evaluation(10)]
    data = lightgbm.Dataset(
        prepared.features[:cut],
        prepared.labels[:cut],
        group=_groups(prepared, slice(None, cut)),
        params=params,
        feature_name=[f"f{i}" for i in range(len(signature.features))],
        categorical_feature=[i for i, f in enumerate(signature.features) if f.type == "category"],
    )
    held_out = []
    if prepared.validation_rows:
        callbacks.append(lambda env: on_loss(env.iteration + 1, _loss(env.evaluation_result_list)))
        newest = slice(cut, None)
        held_out = [data.create_valid(prepared.features[cut:], prepared.labels[cut:], group=_groups(prepared, newest))]
        patience = spec.training.early_stopping_rounds
        if patience is not None and params.get("boosting") != "dart":  # dart can't stop early
            callbacks.append(lightgbm.early_stopping(patience, verbose=True))
    try:
        booster = lightgbm.train(
            params, data, rounds, valid_sets=held_out, valid_names=["validation"][: len(held_out)], callbacks=callbacks
        )
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        text = booster.model_to_string(num_iteration=best)
        gains = booster.feature_importance("gain", iteration=best).tolist()
    except lightgbm.basic.LightGBMError as err:
        raise Permanent(f"LightGBM: {err}") from err
    return Trained(text.encode(), best, gains, booster_of(text.encode(), params["num_threads"]))


def booster_of(text: bytes, threads: int = 1) -> lightgbm.Booster:
    """The model of a text that is proven sound (``bundle.modelfile``).

    Raises:
        Permanent: LightGBM does not read it.
    """
    try:
        return lightgbm.Booster(model_str=text.decode(), params={"num_threads": threads})
    except lightgbm.basic.LightGBMError as err:
        raise Permanent(f"LightGBM: {err}") from err


def _groups(prepared: Prepared, rows: slice) -> Codes | None:
    return None if prepared.queries is None else sizes_of(prepared.queries[rows])


def _loss(evaluated: Sequence[tuple[str, str, float, bool]]) -> float:
    """What a training is stopped by: the first figure of the first rows that validate."""
    _, _, value, higher_is_better = evaluated[0]
    return -value if higher_is_better else value
