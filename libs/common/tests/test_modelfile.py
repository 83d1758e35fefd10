"""The structural proof: what LightGBM writes passes; a harmed file is refused, or harms nobody."""

import random
import re
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from shipway.bundle import modelfile
from shipway.bundle.capi import Booster
from shipway.bundle.modelfile import ModelLimits, check_model_text
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
    groups = [15] * 100 if "rank" in objective else None
    data = lgb.Dataset(rows, labels, group=groups, categorical_feature=[2])
    return str(lgb.train(settings, data, rounds).model_to_string()).encode()


MODELS = {
    "binary": (train("binary"), 1),
    "multiclass": (train("multiclass", 3), 3),
    "regression": (train("regression"), 1),
    "one leaf": (train("regression", min_data_in_leaf=1499), 1),
    "forest": (train("binary", boosting="rf", bagging_freq=1, bagging_fraction=0.5), 1),
    "quantile": (train("quantile", alpha=0.9), 1),
    "lambdarank": (train("lambdarank"), 1),
    "xendcg": (train("rank_xendcg"), 1),
}
MODEL = MODELS["binary"][0]
ROWS = np.random.default_rng(1).normal(size=(20, FEATURES))


def _depth(node: dict[str, Any]) -> int:
    return 1 + max(map(_depth, (node["left_child"], node["right_child"]))) if "split_feature" in node else 0


@pytest.mark.parametrize("name", MODELS)
def test_what_lightgbm_writes_passes_and_scores_alike(name: str) -> None:
    text, outputs = MODELS[name]
    facts = check_model_text(text, features=FEATURES, outputs=outputs)
    assert facts.trees == text.count(b"\nTree=")
    told = lgb.Booster(model_str=text.decode()).dump_model()["tree_info"]
    assert facts.depth == max(_depth(tree["tree_structure"]) for tree in told)
    theirs = np.asarray(lgb.Booster(model_str=text.decode()).predict(ROWS)).reshape(len(ROWS), -1)
    ours = Booster(text).predict(ROWS, outputs)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("scale", "infinite", "label_scale"), [(1, True, 1), (1e300, False, 1), (1e-305, False, 1), (1, False, 1e30)]
)
def test_what_lightgbm_writes_of_extreme_data_passes(scale: float, infinite: bool, label_scale: float) -> None:
    """Infinite thresholds and gains are LightGBM's own; they harm nothing."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1200, FEATURES))
    labels = np.sign(rows[:, 0]) * label_scale
    if infinite:
        rows[rng.random(rows.shape) < 0.1] = np.inf
        rows[rng.random(rows.shape) < 0.1] = -np.inf
    rows *= scale
    text = str(lgb.train({"verbose": -1}, lgb.Dataset(rows, labels), 15).model_to_string()).encode()
    assert check_model_text(text, features=FEATURES, outputs=1).trees == text.count(b"\nTree=")
    theirs = np.asarray(lgb.Booster(model_str=text.decode()).predict(rows)).reshape(-1, 1)
    np.testing.assert_array_equal(Booster(text).predict(rows, 1), theirs)


def test_a_model_with_linear_trees_is_refused_with_the_remedy() -> None:
    rows = np.random.default_rng(0).normal(size=(600, FEATURES))
    data = lgb.Dataset(rows, rows[:, 0], params={"linear_tree": True})
    text = str(lgb.train({"verbose": -1, "linear_tree": True}, data, 2).model_to_string()).encode()
    with pytest.raises(InvalidField, match="train with linear_tree = false"):
        check_model_text(text, features=FEATURES, outputs=1)


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


def resealed(text: bytes) -> bytes:
    """With tree_sizes that fit again, so that the harm reaches the rules behind them."""
    begin, end = text.find(b"\n\nTree=0\n"), text.find(b"end of trees\n")
    if begin < 0 or end < begin:
        return text
    body = text[begin + 2 : end]
    starts = [found.start() for found in re.finditer(rb"(?m)^Tree=\d+$", body)] + [len(body)]
    sizes = b" ".join(str(after - before).encode() for before, after in pairwise(starts))
    return re.sub(rb"tree_sizes=[^\n]*", b"tree_sizes=" + sizes, text[:begin], count=1) + text[begin:]


def replaced_in(text: bytes, pattern: str, by: str) -> bytes:
    changed = re.sub(pattern.encode(), by.encode(), text, count=1)
    assert changed != text
    return resealed(changed)


LAST_LINE = r"(shrinkage=[^\n]*\n)"
ONE_LEAF, MULTICLASS = MODELS["one leaf"][0], MODELS["multiclass"][0]
SMUGGLED = "\\rnum_leaves=3\\rleaf_value=1 2 3\\rsplit_feature=0 0\\rthreshold=0 0\\rleft_child=0 0\\rright_child=0 0"


@pytest.mark.parametrize(
    ("harmed", "outputs"),
    [
        pytest.param(replaced_in(MODEL, r"(left_child=)1 (\S+)", r"\g<1>0_1 \2"), 1, id="underscore: hangs"),
        pytest.param(replaced_in(MODEL, r"(left_child=)1 ", "\\g<1>\u0661 "), 1, id="digit of another alphabet: hangs"),
        pytest.param(replaced_in(MODEL, r"(left_child=)1 (\S+) ", "\\g<1>1 \t\\2 "), 1, id="tab: hangs"),
        pytest.param(
            replaced_in(MODEL, r"(feature_names=[^\n]*)", r"\1\rnum_class=20000"), 1, id="CR in names: crashes"
        ),
        pytest.param(
            replaced_in(MODEL, r"(feature_infos=[^\n]*)", r"\1\rnum_tree_per_iteration=20000"),
            1,
            id="CR in infos: crashes",
        ),
        pytest.param(
            replaced_in(MODEL, r"(objective=[^\n]*)", r"\1\rnum_class=20000"), 1, id="CR in objective: crashes"
        ),
        pytest.param(
            replaced_in(MULTICLASS, "multiclass num_class:3", "multiclass num_class:3 :num_class:2000000"),
            3,
            id="second num_class: crashes",
        ),
        pytest.param(replaced_in(MULTICLASS, "\nnum_class=3", "\nnum_class=1"), 3, id="num_class 1 of 3: too narrow"),
        pytest.param(
            replaced_in(MODEL, LAST_LINE, r"\1average_output\n"), 1, id="line without a value: runs on, aborts"
        ),
        pytest.param(replaced_in(MODEL, "\ndecision_type=", "\n\ndecision_type="), 1, id="blank line: aborts"),
        pytest.param(
            replaced_in(ONE_LEAF, "(leaf_count=[^\n]*)", r"\1" + SMUGGLED), 1, id="CR smuggles a tree: aborts"
        ),
        pytest.param(replaced_in(MODEL, r"decision_type=\d+", "decision_type=14"), 1, id="decision type of no meaning"),
        pytest.param(replaced_in(MODEL, r"\[linear_tree: 0\]", "[linear_tree: 1]"), 1, id="linear by its parameters"),
    ],
)
def test_what_lightgbm_would_read_differently_is_refused(harmed: bytes, outputs: int) -> None:
    """Each of these was seen to do to LightGBM what its name says."""
    with pytest.raises(InvalidField):
        check_model_text(harmed, features=FEATURES, outputs=outputs)


TOKENS = ["0_1", "\u0661", "+1", "-1", "-0", "00", "0x1", "1e9", "nan", "inf", "1e400", "9999999999", "-99", "", "\t1"]
LINES = [
    "average_output",
    "",
    "num_leaves=3",
    "left_child=0 0",
    "is_linear=1",
    "num_class=99",
    "\rnum_leaves=9",
    "=",
    "\x00",
]


def mutated(rng: random.Random) -> tuple[bytes, int]:
    """A model with a random harm, of those that files suffer and attackers choose; and its outputs."""
    model, outputs = rng.choice([MODELS["binary"], MODELS["multiclass"], MODELS["one leaf"]])
    kind = rng.randrange(10)
    if kind == 0:
        return model[: rng.randrange(len(model))], outputs
    text = bytearray(model)
    end = model.index(b"end of trees")
    at, to = rng.randrange(end), rng.randrange(end)
    if kind == 1:
        for _ in range(rng.randint(1, 4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
    elif kind == 2:
        del text[at : at + rng.randint(1, 60)]
    elif kind == 3:
        text[at:at] = text[to : to + 80]
    elif kind == 4:  # another number of the same length
        found = rng.choice(list(re.finditer(rb"(?<=[= ])-?\d+(?=[ \n])", model[:end])))
        text[found.start() : found.end()] = bytes(rng.choice(b"0123456789") for _ in range(len(found[0])))
    elif kind == 5:  # a number becomes what a reader may stumble on
        found = rng.choice(list(re.finditer(rb"(?<=[= ])[^ =\n]+", model[:end])))
        text[found.start() : found.end()] = rng.choice(TOKENS).encode()
    elif kind == 6:  # a child points elsewhere: cycles, leaves reached twice, indices out of range
        children = list(re.finditer(rb"_child=([^\n]+)", model[:end]))
        if children:
            chosen = rng.choice(children)
            values = chosen[1].split(b" ")
            values[rng.randrange(len(values))] = str(rng.randint(-len(values) - 2, len(values) + 1)).encode()
            text[chosen.start(1) : chosen.end(1)] = b" ".join(values)
    else:
        lines = model[:end].split(b"\n")
        line = rng.randrange(len(lines))
        if kind == 7:
            del lines[line]
        elif kind == 8:
            lines.insert(rng.randrange(len(lines)), lines[line])
        else:
            lines.insert(line, rng.choice(LINES).encode())
        text[:end] = b"\n".join(lines)
    return (resealed(bytes(text)) if rng.random() < 0.8 else bytes(text)), outputs


BATCH = """
import sys, pathlib, numpy as np
from shipway.bundle.capi import Booster
rng = np.random.default_rng(1)
rows = rng.normal(size=(200, 4)) * 30
rows[rng.random(rows.shape) < 0.2] = np.nan
rows[:3] = [[np.inf] * 4, [-np.inf] * 4, [1e300] * 4]
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.txt")):
    print(path.name, file=sys.stderr, flush=True)
    booster = Booster(path.read_bytes())
    booster.predict(rows, int(path.stem.rpartition("-")[2]))
    booster.close()
"""


def test_mutated_files_are_refused_or_harmless(tmp_path: Path) -> None:
    """Each accepted one loads and scores in a child process without an error, a crash or a hang."""
    rng = random.Random(7)
    accepted, count = 0, 5000
    for number in range(count):
        text, outputs = mutated(rng)
        try:
            check_model_text(text, features=FEATURES, outputs=outputs)
        except Permanent:
            continue
        (tmp_path / f"{number:05}-{outputs}.txt").write_bytes(text)
        accepted += 1
    assert count // 50 < accepted < count // 2
    done = subprocess.run([sys.executable, "-c", BATCH, str(tmp_path)], timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r"num_leaves=\d+", b"num_leaves=1000000000"),
        (r"num_leaves=\d+", b"num_leaves=" + b"9" * 5000),
        (r"leaf_value=[^\n]*", b"leaf_value=" + b" " * 3_000_000),
        (r"leaf_value=\S+", b"leaf_value=" + b"1" * 3_000_000),
        (r"\nnum_cat", b"\n" * 3_000_000 + b"num_cat"),
        (r"feature_names=", b"feature_names=" + b" " * 3_000_000),
        (r"cat_threshold=", b"cat_threshold=" + b"1 " * 1_500_000),
    ],
)
def test_a_hostile_file_takes_little_memory(pattern: str, by: bytes) -> None:
    text = resealed(re.sub(pattern.encode(), lambda _: by, MODEL, count=1))
    tracemalloc.start()
    with pytest.raises(InvalidField):
        check_model_text(text, features=FEATURES, outputs=1)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20_000_000


def test_a_large_model_is_checked_quickly_enough_to_be_checked_always() -> None:
    text = train("binary", rounds=300, num_leaves=63, min_data_in_leaf=2)
    assert check_model_text(text, features=FEATURES, outputs=1).trees == 300


def test_a_model_that_is_proven_in_parts_has_the_same_facts_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    harmed = replaced_in(MODEL, r"(Tree=2\n(?:.*\n)*?left_child=)\S+ (\S+)", r"\1\2 \2")
    whole = check_model_text(MODEL, features=FEATURES, outputs=1)
    monkeypatch.setattr(modelfile, "_TOGETHER_BYTES", 1)
    assert check_model_text(MODEL, features=FEATURES, outputs=1) == whole
    with pytest.raises(InvalidField, match=r"tree\[2\]\.left_child"):
        check_model_text(harmed, features=FEATURES, outputs=1)
