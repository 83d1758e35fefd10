"""The stage of a search: Optuna proposes parameters, LightGBM is trained with each on the same rows. In the child.

A trial is what the training of a candidate will be, with the same rows to stop by; its figure is the model's metric on
those. Trials are told as they end, so that a search that is begun again goes on after the last one.
"""

import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import optuna

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.metrics import HIGHER_IS_BETTER, score_metrics
from shipway.bundle.ranking import ranked
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Signature
from shipway.contract.spec import PARAMS, ModelSpec, ParamRange
from shipway.trainer.kinds import laid_over
from shipway.trainer.searching import Found, Trial, best, with_params, words
from shipway.trainer.stages import BEGINS
from shipway.trainer.work import Work

# Of trials that are drawn at random, before the sampler learns from them; and of those that none is pruned before.
_AT_RANDOM, _UNPRUNED = 8, 4
_PRUNE_EVERY_ROUNDS = 5


class _OutOfTime(Exception):  # noqa: N818  ends a trial from within
    """The search's time is over."""


def search(work: Work, prepared: tuple[Signature, Prepared]) -> tuple[None, dict[str, Any]]:
    """The trials, and those of them whose parameters become versions.

    Raises:
        Permanent: there are no rows to judge trials by, or LightGBM refuses them; no trial came to its end.
    """
    signature, rows = prepared
    if not rows.validation_rows:
        raise InvalidField("training.validation", "a search needs rows to judge trials by; set it above 0")
    found = _Search(work, signature, rows).run()
    higher = HIGHER_IS_BETTER[found.metric]
    leaders = best(found.trials, work.spec.search.candidates, higher=higher)
    if not leaders:
        raise InvalidField(
            "search.time_limit",
            f"no trial came to its end within it ({words(found, higher=higher)}); raise it, or lower training.rounds",
        )
    told = {"best": msgspec.to_builtins(leaders), "words": words(found, higher=higher)}
    return None, msgspec.to_builtins(found) | told


class _Search:
    """One search, from where an earlier run of it was."""

    def __init__(self, work: Work, signature: Signature, rows: Prepared) -> None:
        self._work, self._signature, self._rows = work, signature, rows
        self._spec, metric = work.spec, work.spec.metric
        self._higher = HIGHER_IS_BETTER[metric]
        self._found = _earlier(work.earlier) or Found(metric=metric, wanted=self._spec.search.trials)
        self._ends = time.monotonic() + self._spec.search.time_limit.total_seconds() - self._found.spent_s
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            direction="maximize" if self._higher else "minimize",
            sampler=optuna.samplers.TPESampler(seed=self._seed(), n_startup_trials=_AT_RANDOM),
            pruner=_pruner(self._spec),
        )
        self._space = {name: _distribution(name, space) for name, space in self._spec.search.tried.items()}
        for trial in self._found.trials:
            self._study.add_trial(_known(trial, self._space))

    def run(self) -> Found:
        """Trials, until there are as many as wanted or the time is over."""
        try:
            if self._found.baseline is None:
                begun = time.monotonic()
                figure, _ = self._train(self._spec, None)
                taken_s = time.monotonic() - begun
                self._note(msgspec.structs.replace(self._found, baseline=figure, baseline_seconds=taken_s))
            while len(self._found.trials) < self._spec.search.trials:
                trial = self._try(self._study.ask(self._space))
                self._note(msgspec.structs.replace(self._found, trials=[*self._found.trials, trial]))
        except _OutOfTime:
            pass
        return self._found

    def _try(self, proposed: optuna.Trial) -> Trial:
        begun, params = time.monotonic(), dict(proposed.params)
        spec = self._spec.model_validate(laid_over(self._spec.model_dump(mode="json"), with_params(params)))
        figure, rounds, pruned = None, 0, False
        try:
            figure, rounds = self._train(spec, proposed)
        except optuna.TrialPruned:
            pruned = True
        state = "pruned" if pruned else "done" if figure is not None else "failed"
        self._study.tell(proposed, figure, state=_STATES[state])
        return msgspec.convert(
            {"params": params, "state": state, "figure": figure, "rounds": rounds, "seconds": time.monotonic() - begun},
            Trial,
        )

    def _train(self, spec: ModelSpec, proposed: optuna.Trial | None) -> tuple[float | None, int]:
        """The figure of a training, None where it is not defined; and its rounds."""

        def on_loss(done: int, loss: float) -> None:
            if time.monotonic() > self._ends:
                raise _OutOfTime
            if proposed is not None and done % _PRUNE_EVERY_ROUNDS == 0:
                # The study's direction is the metric's: a loss that falls is a figure that rises.
                proposed.report(-loss if self._higher else loss, done)
                if proposed.should_prune():
                    raise optuna.TrialPruned

        signature, rows = self._signature, self._rows
        model = boost(spec, signature, rows, self._work.max_threads, on_loss=on_loss)
        cut = len(rows.labels) - rows.validation_rows
        how = None if rows.queries is None else ranked(spec, rows.queries[cut:])
        figure = score_metrics(signature, rows.labels[cut:], model.scores(rows.features[cut:]), how)[spec.metric]
        return (figure if math.isfinite(figure) else None), model.rounds

    def _note(self, found: Found) -> None:
        self._found = found
        share = len(found.trials) / self._spec.search.trials
        fraction = BEGINS["search"] + (BEGINS["record"] - BEGINS["search"]) * share
        self._work.tell(fraction, words(found, higher=self._higher), msgspec.to_builtins(found))

    def _seed(self) -> int:
        """Another request tries other parameters; one that goes on does not repeat its first ones."""
        named = f"{self._work.request_id} {len(self._found.trials)} {self._spec.training.seed}"
        return int.from_bytes(hashlib.sha256(named.encode()).digest()[:4], "big")


_STATES = {
    "done": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


def _pruner(spec: ModelSpec) -> optuna.pruners.BasePruner:
    # Small learning rates look bad in the first rounds, whatever becomes of them.
    warm = spec.training.rounds // 3
    return optuna.pruners.MedianPruner(_UNPRUNED, warm) if spec.search.prune else optuna.pruners.NopPruner()


def _earlier(told: Mapping[str, Any] | None) -> Found | None:
    return None if told is None else msgspec.convert(told, Found)


def _distribution(name: str, space: ParamRange) -> optuna.distributions.BaseDistribution:
    if space.of is not None:
        return optuna.distributions.CategoricalDistribution(space.of)
    assert space.min is not None and space.max is not None
    if PARAMS[name] == (int,):
        return optuna.distributions.IntDistribution(int(space.min), int(space.max), log=space.log)
    return optuna.distributions.FloatDistribution(space.min, space.max, log=space.log)


def _known(trial: Trial, space: Mapping[str, optuna.distributions.BaseDistribution]) -> optuna.trial.FrozenTrial:
    value = trial.figure if trial.state == "done" else None
    return optuna.trial.create_trial(
        state=_STATES[trial.state], value=value, params=trial.params, distributions=dict(space)
    )
