"""The structural proof: what LightGBM writes passes; a harmed file is refused, or harms nobody."""

import random
import re
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from shipway.bundle.capi import Booster
from shipway.bundle.modelfile import ModelLimits, check_model_text
from shipway.bundle.trial import try_in_child
from shipway.contract.errors import InvalidField, Permanent

FEATURES = 4


def train(objective: str, outputs: int = 1, rounds: int = 4, **params: object) -> bytes:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, FEATURES))
    rows[:, 2] = rng.integers(0, 40, len(rows))
    rows[rng.random(len(rows)) < 0.1, 0] = np.nan
    labels = ((rows[:, 1] > 0) | (rows[:, 2] % 3 == 0)).astype(float) + (rows[:, 1] > 1) * (outputs > 2)
    settings = {"objective": objective, "num_leaves": 7, "verbose": -1, "min_data_per_group": 5, **params}
    if outputs > 1:
        settings["num_class"] = outputs
    data = lgb.Dataset(rows, labels, categorical_feature=[2])
    return str(lgb.train(settings, data, rounds).model_to_string()).encode()


MODELS = {
    "binary": (train("binary"), 1),
    "multiclass": (train("multiclass", 3), 3),
    "regression": (train("regression"), 1),
    "one leaf": (train("regression", min_data_in_leaf=1499), 1),
    "forest": (train("binary", boosting="rf", bagging_freq=1, bagging_fraction=0.5), 1),
    "quantile": (train("quantile", alpha=0.9), 1),
}
MODEL = MODELS["binary"][0]
ROWS = np.random.default_rng(1).normal(size=(20, FEATURES))


@pytest.mark.parametrize("name", MODELS)
def test_what_lightgbm_writes_passes_and_scores_alike(name: str) -> None:
    text, outputs = MODELS[name]
    facts = check_model_text(text, features=FEATURES, outputs=outputs)
    assert facts.trees == text.count(b"\nTree=")
    theirs = np.asarray(lgb.Booster(model_str=text.decode()).predict(ROWS)).reshape(len(ROWS), -1)
    ours = Booster(text).predict(ROWS, outputs)
    np.testing.assert_array_equal(ours, theirs)


def replaced(pattern: str, by: str) -> bytes:
    changed = re.sub(pattern.encode(), by.encode(), MODEL, count=1)
    assert changed != MODEL
    return changed


@pytest.mark.parametrize(
    ("harmed", "field"),
    [
        (MODEL[: len(MODEL) // 3], "model.txt|tree"),
        (b"", "model.txt"),
        (b"\x80\x04pickle", "model.txt"),
        (replaced(r"left_child=\d", "left_child=0"), r"left_child\[0\]"),
        (replaced(r"right_child=\d", "right_child=9"), r"right_child"),
        (replaced(r"split_feature=\d", "split_feature=7"), "split_feature"),
        (replaced(r"num_leaves=\d", "num_leaves=9"), "leaf_value|child|weight"),
        (replaced(r"leaf_value=...", "leaf_value=nan"), "leaf_value"),
        (replaced(r"tree_sizes=\d", "tree_sizes=9"), "tree"),
        (replaced(r"decision_type=\d+", "decision_type=99"), "decision_type|tree"),
        (replaced(r"cat_boundaries=0 2", "cat_boundaries=0 9"), "cat_boundaries"),
        (replaced(r"max_feature_idx=3", "max_feature_idx=4"), "max_feature_idx"),
        (replaced(r"objective=binary", "objective=wizardry"), "objective"),
        (replaced(r"is_linear=0", "is_linear=1"), "is_linear"),
        (replaced(r"version=v4", "version=v9"), "version"),
        (replaced(r"label_index=0", "label_index=0\nlabel_index=0"), "label_index"),
    ],
)
def test_a_harmed_file_is_refused_with_the_place(harmed: bytes, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_model_text(harmed, features=FEATURES, outputs=1)
    assert re.search(field, str(refused.value)), refused.value


def test_a_file_for_another_signature_is_refused() -> None:
    for features, outputs in ((5, 1), (4, 3)):
        with pytest.raises(Permanent):
            check_model_text(MODEL, features=features, outputs=outputs)


def test_limits_hold() -> None:
    for limits in (ModelLimits(bytes=10), ModelLimits(trees=1), ModelLimits(leaves_per_tree=2)):
        with pytest.raises(Permanent):
            check_model_text(MODEL, features=FEATURES, outputs=1, limits=limits)


def mutated(rng: random.Random) -> bytes:
    """The model with a random harm, of those that files suffer and attackers choose."""
    text = bytearray(MODEL)
    kind = rng.randrange(7)
    if kind == 0:
        return bytes(text[: rng.randrange(len(text))])
    if kind == 1:
        for _ in range(rng.randint(1, 4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        return bytes(text)
    if kind == 2:
        at = rng.randrange(len(text))
        return bytes(text[:at] + text[at + rng.randint(1, 60) :])
    if kind == 3:
        at, to = rng.randrange(len(text)), rng.randrange(len(text))
        return bytes(text[:at] + text[to : to + 80] + text[at:])
    # A number somewhere becomes another of the same length, so that tree_sizes still hold.
    numbers = list(re.finditer(rb"(?<=[= ])-?\d+(?=[ \n])", MODEL))
    found = rng.choice(numbers)
    width = found.end() - found.start()
    text[found.start() : found.end()] = "".join(rng.choice("0123456789") for _ in range(width)).encode()
    return bytes(text)


def test_mutated_files_are_refused_or_harmless(tmp_path: Path) -> None:
    """Each accepted one loads and scores in a child process without a crash or a hang."""
    rng = random.Random(7)
    accepted = 0
    for _ in range(1500):
        text = mutated(rng)
        try:
            check_model_text(text, features=FEATURES, outputs=1)
        except Permanent:
            continue
        (tmp_path / f"{accepted}.txt").write_bytes(text)
        accepted += 1
    assert 20 < accepted < 700
    program = (
        "import sys, pathlib, numpy as np\n"
        "from shipway.bundle.capi import Booster, LightGBMError\n"
        "rows = np.random.default_rng(1).normal(size=(50, 4)) * 30\n"
        "for path in pathlib.Path(sys.argv[1]).glob('*.txt'):\n"
        "    try:\n"
        "        booster = Booster(path.read_bytes()); booster.predict(rows, 1); booster.close()\n"
        "    except LightGBMError:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_trial_accepts_the_right_scores_only() -> None:
    scores = Booster(MODEL).predict(ROWS, 1)
    try_in_child(MODEL, ROWS, scores)
    with pytest.raises(Permanent, match="golden row 3"):
        scores[3] += 0.1
        try_in_child(MODEL, ROWS, scores)


def test_a_crash_and_a_hang_are_the_childs_alone() -> None:
    scores = Booster(MODEL).predict(ROWS, 1)
    with pytest.raises(Permanent, match="trial: the model"):
        try_in_child(MODEL[: len(MODEL) // 3], ROWS, scores)
    with pytest.raises(Permanent, match=r"did not answer|crashed"):
        try_in_child(replaced(r"left_child=\d", "left_child=0"), ROWS, scores, timeout_s=2)


def test_a_large_model_is_checked_quickly_enough_to_be_checked_always() -> None:
    text = train("binary", rounds=300, num_leaves=63, min_data_in_leaf=2)
    assert check_model_text(text, features=FEATURES, outputs=1).trees == 300
