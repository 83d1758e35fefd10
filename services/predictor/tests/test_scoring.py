"""Scores are LightGBM's own, on both paths, from any thread; unloading gives the memory back."""

import threading
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from shipway.bundle.capi import LightGBMError
from shipway.predictor.scoring import FAST_ROWS, MOST_EXPLAINING, Scorer


def train(objective: str, outputs: int = 1, rounds: int = 20) -> bytes:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 5))
    rows[:, 3] = rng.integers(0, 20, len(rows))
    rows[rng.random(len(rows)) < 0.1, 0] = np.nan
    labels = (rows[:, 1] > 0).astype(float) + (rows[:, 2] > 1) * (outputs > 2)
    settings = {"objective": objective, "verbose": -1} | ({"num_class": outputs} if outputs > 1 else {})
    groups = [20] * 100 if objective == "lambdarank" else None
    model = lgb.train(settings, lgb.Dataset(rows, labels, group=groups, categorical_feature=[3]), rounds)
    return str(model.model_to_string()).encode()


ROWS = np.random.default_rng(1).normal(size=(64, 5))
ROWS[::5, 0] = np.nan
ROWS[:, 3] = np.random.default_rng(2).integers(-1, 25, 64)


@pytest.mark.parametrize(
    ("objective", "outputs"), [("binary", 1), ("multiclass", 3), ("regression", 1), ("lambdarank", 1)]
)
def test_both_paths_give_what_lightgbm_gives(objective: str, outputs: int) -> None:
    text = train(objective, outputs)
    theirs = np.asarray(lgb.Booster(model_str=text.decode()).predict(ROWS)).reshape(64, outputs)
    scorer = Scorer(text, 5, outputs)
    np.testing.assert_array_equal(scorer.score(ROWS), theirs)
    for count in (1, 2, FAST_ROWS - 1, FAST_ROWS):
        np.testing.assert_array_equal(scorer.score(np.ascontiguousarray(ROWS[:count])), theirs[:count])
    scorer.close()


@pytest.mark.parametrize(
    ("objective", "outputs"), [("binary", 1), ("multiclass", 3), ("regression", 1), ("lambdarank", 1)]
)
def test_contributions_are_lightgbms_and_add_up(objective: str, outputs: int) -> None:
    text = train(objective, outputs)
    booster = lgb.Booster(model_str=text.decode())
    scorer = Scorer(text, 5, outputs, explaining=1)
    explained = scorer.explained(ROWS)
    np.testing.assert_array_equal(explained[:, :outputs], scorer.score(ROWS))
    np.testing.assert_array_equal(explained[:, outputs:], booster.predict(ROWS, pred_contrib=True))
    sums = explained[:, outputs:].reshape(64, outputs, 6).sum(axis=2)
    np.testing.assert_allclose(sums, np.asarray(booster.predict(ROWS, raw_score=True)).reshape(64, outputs))
    scorer.close()


def test_what_would_take_too_long_to_explain_is_refused() -> None:
    scorer = Scorer(train("binary"), 5, 1, explaining=MOST_EXPLAINING / 3.5)
    assert scorer.explained(ROWS[:3]).shape == (3, 7)
    with pytest.raises(LightGBMError, match="3 rows can be explained at once, not 4"):
        scorer.explained(ROWS[:4])
    scorer.close()


def test_threads_share_a_scorer_and_an_unload_waits_for_them() -> None:
    text = train("binary")
    scorer = Scorer(text, 5, 1)
    right = scorer.score(ROWS)
    wrong: list[str] = []

    def ask() -> None:
        try:
            while True:
                wrong.extend(
                    f"row {i} has another score"
                    for i in range(64)
                    if scorer.score(ROWS[i : i + 1])[0, 0] != right[i, 0]
                )
        except LightGBMError as err:
            if "unloaded" not in str(err):
                wrong.append(str(err))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    scorer.score(ROWS)
    scorer.close()
    scorer.close()
    for thread in threads:
        thread.join(10)
    assert not wrong


def test_a_wrong_shape_is_refused() -> None:
    scorer = Scorer(train("binary", rounds=1), 5, 1)
    with pytest.raises(LightGBMError, match="5 features"):
        scorer.score(np.zeros((1, 4)))
    scorer.close()


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def test_memory_is_flat_over_two_hundred_swaps() -> None:
    text = train("regression", rounds=300)

    def swap() -> None:
        scorer = Scorer(text, 5, 1)
        scorer.score(ROWS[:1])
        scorer.score(ROWS)
        scorer.close()

    for _ in range(20):
        swap()
    before = resident_mb()
    for _ in range(200):
        swap()
    assert resident_mb() - before < 5 * len(text) / 1e6, "as much as five of the two hundred models"


def test_several_models_and_versions_are_scored_at_once_each_by_itself() -> None:
    """Threads ask four of them in turn, while others are loaded and unloaded beside."""
    texts = [train("binary", rounds=r) for r in (5, 10)] + [train("regression", rounds=r) for r in (5, 10)]
    scorers = [Scorer(text, 5, 1) for text in texts]
    right = [scorer.score(ROWS) for scorer in scorers]
    assert len({float(scores.sum()) for scores in right}) == 4, "their scores tell them apart"
    wrong: list[str] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            for number, scorer in enumerate(scorers):
                wrong.extend(
                    f"scorer {number} gave another's scores"
                    for count in (3, 64)
                    if not np.array_equal(scorer.score(np.ascontiguousarray(ROWS[:count])), right[number][:count])
                )

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        for text in texts:
            Scorer(text, 5, 1).close()
    ending.set()
    for thread in threads:
        thread.join(10)
    assert not wrong
