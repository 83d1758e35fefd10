"""What a search makes of its trials, and how its jobs differ from trainings."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.spec import parse_spec
from shipway.trainer.kinds import ALL_STAGES, STAGES_OF, laid_over, policy_of, time_limit_of
from shipway.trainer.searching import Found, Trial, best, words

TRIALS = st.lists(
    st.builds(
        Trial,
        params=st.fixed_dictionaries({"num_leaves": st.integers(2, 4)}),
        state=st.sampled_from(["done", "pruned", "failed"]),
        figure=st.none() | st.floats(-5, 5),
    ),
    max_size=12,
)


@given(trials=TRIALS, count=st.integers(1, 5), higher=st.booleans())
def test_candidates_are_the_best_that_ended_each_once(trials: list[Trial], count: int, higher: bool) -> None:
    chosen = best(trials, count, higher=higher)
    figures = [trial.figure for trial in chosen if trial.figure is not None]
    assert len(figures) == len(chosen), "what has no figure is not chosen"
    assert figures == sorted(figures, reverse=higher)
    assert len({trial.params["num_leaves"] for trial in chosen}) == len(chosen) <= count
    ended = [trial for trial in trials if trial.state == "done" and trial.figure is not None]
    assert all(trial in ended for trial in chosen)
    if ended:
        top = max if higher else min
        assert figures[0] == top(trial.figure for trial in ended if trial.figure is not None)
        assert len(chosen) == min(count, len({trial.params["num_leaves"] for trial in ended}))


def test_a_search_says_how_it_stands() -> None:
    trials = [
        Trial(params={"num_leaves": 9}, state="done", figure=0.71, seconds=1.5),
        Trial(params={"num_leaves": 5}, state="pruned", seconds=0.5),
    ]
    found = Found(metric="auc", wanted=4, baseline=0.7, trials=trials, baseline_seconds=1.0)
    told = words(found, higher=True)
    assert told == "2 of 4 trials (1 pruned); best auc 0.71, 0.7 by the model file's own parameters"
    assert found.spent_s == 3.0
    assert words(Found(metric="auc", wanted=4), higher=True) == "0 of 4 trials"


@pytest.mark.parametrize(
    ("declared", "asked", "wanted"),
    [
        ({"a": 1, "training": {"rounds": 5, "params": {"x": 1}}}, {"training": {"params": {"x": 2, "y": 3}}}, None),
        ({}, {"search": {"trials": 2}}, {"search": {"trials": 2}}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_what_is_asked_for_is_laid_over_the_model_file(declared: Any, asked: Any, wanted: Any) -> None:
    before = repr(declared)
    merged = laid_over(declared, asked)
    assert merged == (wanted or {"a": 1, "training": {"rounds": 5, "params": {"x": 2, "y": 3}}})
    assert repr(declared) == before


def test_a_search_has_time_of_its_own(raw_spec: Any) -> None:
    spec = parse_spec(raw_spec(search={"time_limit": "10m"}, training={"time_limit": "1h"}))
    assert policy_of(spec, "search").time_limit == timedelta(minutes=12.5)
    assert time_limit_of("search", spec) == timedelta(minutes=72.5)
    assert time_limit_of("candidate", spec) == timedelta(hours=1)


def test_every_kind_begins_with_data_and_ends_on_record() -> None:
    for stages in STAGES_OF.values():
        assert (stages[0], stages[-1]) == ("get-data", "record")
        assert set(stages) <= set(ALL_STAGES)
