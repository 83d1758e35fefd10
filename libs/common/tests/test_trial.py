"""The trial: a model that crashes, hangs, eats memory or gives other scores harms its child alone, with a reason."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import psutil
import pytest

from shipway.bundle.capi import Booster
from shipway.bundle.modelfile import check_model_text
from shipway.bundle.trial import Trials, try_in_child
from shipway.bundle.trial_scores import compare, read_scores
from shipway.contract.errors import InvalidField, Permanent, Transient

ROWS = np.random.default_rng(1).normal(size=(20, 3))


def train(objective: str, outputs: int = 1) -> bytes:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 3))
    labels = (rows[:, 0] > 0).astype(float) + (rows[:, 1] > 0.5) * (outputs > 2)
    settings = {"objective": objective, "num_leaves": 7, "verbose": -1}
    if outputs > 1:
        settings["num_class"] = outputs
    return str(lgb.train(settings, lgb.Dataset(rows, labels), 4).model_to_string()).encode()


MODEL = train("binary")
SCORES = Booster(MODEL).predict(ROWS, 1)
# LightGBM reads on behind the end of a truncated file: what it meets there decides.
CRASH = "SIG(ABRT|SEGV)"
CYCLIC = re.sub(rb"left_child=\d", b"left_child=0", MODEL, count=1)


def test_the_right_scores_pass() -> None:
    try_in_child(MODEL, ROWS, SCORES)


def test_several_outputs_pass() -> None:
    model = train("multiclass", 3)
    try_in_child(model, ROWS, Booster(model).predict(ROWS, 3))


def test_another_score_is_refused_with_row_and_both_values() -> None:
    golden = SCORES.copy()
    golden[3] += 0.1
    with pytest.raises(Permanent, match=rf"golden row 3 gave \[{SCORES[3, 0]}\]; \[{golden[3, 0]}\] was expected"):
        try_in_child(MODEL, ROWS, golden)


def test_nan_equals_nothing() -> None:
    nan = np.full((2, 1), np.nan)
    with pytest.raises(Permanent, match="golden row 0"):
        compare(nan, nan)


def test_another_number_of_outputs_is_refused_before_it_is_written_anywhere() -> None:
    with pytest.raises(Permanent, match=r"it gives 60 scores for 20 rows; 20 were expected"):
        try_in_child(train("multiclass", 3), ROWS, SCORES)


def test_a_truncated_file_aborts_the_child_alone() -> None:
    with pytest.raises(Permanent, match=rf"crashed a process \({CRASH}\)"):
        try_in_child(MODEL[: len(MODEL) // 3], ROWS, SCORES)


def test_a_model_that_is_not_one_is_refused_with_the_librarys_words() -> None:
    with pytest.raises(Permanent, match=r"could not be used: .*LightGBMError"):
        try_in_child(b"tree\n", ROWS, SCORES)


def test_a_cyclic_tree_ends_with_its_child_killed_and_reaped() -> None:
    before = time.monotonic()
    with pytest.raises(Permanent, match=r"did not answer in 1\.5 s"):
        try_in_child(CYCLIC, ROWS, SCORES, timeout_s=1.5)
    assert time.monotonic() - before < 10
    assert not [child for child in psutil.Process().children() if "trial_child" in " ".join(child.cmdline())]


def test_too_little_memory_is_said_so() -> None:
    with pytest.raises(Permanent, match="needs more than 1 MB"):
        try_in_child(MODEL, np.tile(ROWS, (20_000, 1)), np.tile(SCORES, (20_000, 1)), memory_mb=1)


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try_in_child(MODEL, ROWS, SCORES)
    with pytest.raises(Permanent):
        try_in_child(CYCLIC, ROWS, SCORES, timeout_s=1)
    assert list(tmp_path.iterdir()) == []


def test_the_child_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    class Spy(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], *, env: dict[str, str], **more: Any) -> None:
            seen.update(env)
            super().__init__(command, env=env, **more)

    monkeypatch.setenv("SHIPWAY_OBJECTS__SECRET_KEY", "hunter2")
    monkeypatch.setattr(subprocess, "Popen", Spy)
    try_in_child(MODEL, ROWS, SCORES)
    assert seen["PATH"] == os.environ["PATH"]
    assert "hunter2" not in seen.values()


def waiting() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "trial_child" in " ".join(child.cmdline())]


def test_one_process_waits_and_outlives_every_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trials = Trials(timeout_s=1)
    trials.warm()
    used = set()
    for model, error in (
        (MODEL, None),
        (MODEL[: len(MODEL) // 3], CRASH),
        (b"tree", "LightGBMError"),
        (CYCLIC, "did not answer"),
        (MODEL, None),
    ):
        [origin] = waiting()
        used.add(origin.pid)
        with pytest.raises(Permanent, match=error) if error else nullcontext():
            trials.try_model(model, ROWS, SCORES)
        assert origin.children() == []
    assert len(used) == 1
    trials.close()
    trials.warm()
    assert waiting() == []
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_proven_before_it_is_tried_and_by_the_process_that_waits() -> None:
    trials = Trials(timeout_s=10)
    trials.warm()
    [origin] = waiting()
    features = ROWS.shape[1]
    assert trials.prove(MODEL, features, ROWS, SCORES) == check_model_text(MODEL, features=features, outputs=1)
    for harmed, why in (
        (CYCLIC, "the tree has a cycle"),
        (MODEL[: len(MODEL) // 3], "truncated"),
        (b"tr\xff", "begin"),
    ):
        with pytest.raises(InvalidField, match=why) as found:
            trials.prove(harmed, features, ROWS, SCORES)
        with pytest.raises(InvalidField) as wanted:
            check_model_text(harmed, features=features, outputs=1)
        assert (found.value.field, found.value.problem) == (wanted.value.field, wanted.value.problem)
    with pytest.raises(Permanent, match="golden row 0 gave"):
        trials.prove(MODEL, features, ROWS, SCORES + 1)
    assert waiting() == [origin]
    assert origin.nice() == min(19, psutil.Process().nice() + 5), "it gives way to those who serve"
    trials.close()


def test_a_process_that_is_gone_is_an_outage_and_replaced() -> None:
    trials = Trials(timeout_s=10)
    trials.warm()
    [origin] = waiting()
    origin.kill()
    with pytest.raises(Transient, match="is gone"):
        trials.try_model(MODEL, ROWS, SCORES)
    trials.try_model(MODEL, ROWS, SCORES)
    trials.close()


def test_nothing_outlives_a_service_that_was_killed_in_a_trial(tmp_path: Path) -> None:
    lonely = """
import os, signal, sys, tempfile, threading, time
from pathlib import Path
import numpy as np
from shipway.bundle.trial import Trials
tempfile.tempdir = sys.argv[1]
golden = np.zeros((20, 1)), np.zeros((20, 3))
threading.Thread(target=Trials().try_model, args=(sys.stdin.buffer.read(), *reversed(golden)), daemon=True).start()
while not list(Path(sys.argv[1]).glob("*/stderr.txt")):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", lonely, str(tmp_path)], input=CYCLIC, check=False)
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "forge",
    [
        lambda path: path.write_bytes(b"junk"),
        lambda path: path.write_bytes(b""),
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: os.mkfifo(path),
        lambda path: path.write_bytes(SCORES[:-1].tobytes()),
        lambda path: path.write_bytes(SCORES.tobytes() + b"0"),
        lambda path: path.write_bytes(SCORES.astype(np.float32).tobytes()),
    ],
    ids=["junk", "empty", "no file", "a folder", "without an end", "a pipe", "a row less", "a byte more", "float32"],
)
def test_what_a_child_that_was_taken_over_may_write_is_refused(forge: Callable[[Path], object], tmp_path: Path) -> None:
    forge(tmp_path / "scores.f64")
    with pytest.raises(Permanent, match="trial: "):
        read_scores(tmp_path / "scores.f64", SCORES.shape)


def test_a_machine_without_room_is_not_the_models_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Transient, match="this machine could not do it"):
        try_in_child(MODEL, ROWS, SCORES)
