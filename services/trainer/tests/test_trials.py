"""A search on small data: what it tries, what it tells, that it goes on after the last trial, and when it ends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from shipway.bundle.boosting import Prepared
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import parse_spec, to_builtins
from shipway.runtime.objects import FolderStore
from shipway.runtime.settings import DataSettings
from shipway.trainer.trials import search
from shipway.trainer.work import Work

SIGNATURE = Signature(
    features=[Feature(name="n", type="number"), Feature(name="o", type="number")],
    output="binary",
    target="y",
    classes=["false", "true"],
)
SPACE = {"num_leaves": {"min": 2, "max": 15}, "learning_rate": {"min": 0.01, "max": 0.5, "log": True}}
Asked = Callable[..., tuple[Work, list[Any]]]


def rows(validation: int = 300) -> tuple[Signature, Prepared]:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1200, 2))
    labels = (features[:, 0] * features[:, 1] + rng.normal(size=1200) / 2 > 0).astype(np.float64)
    return SIGNATURE, Prepared(features, labels, validation)


@pytest.fixture
def asked(tmp_path: Any, raw_spec: Any) -> Asked:
    """Gives the work of a search with this section [search], and what it will have told."""

    def ask(request_id: str = "s", **section: Any) -> tuple[Work, list[Any]]:
        training = {"rounds": 20, "early_stopping_rounds": 5, "threads": 1}
        spec = parse_spec(raw_spec(training=training, search={"space": SPACE} | section))
        told: list[Any] = []

        def tell(fraction: float, message: str, known: Any = None) -> None:
            told.append((fraction, message, known))

        return Work(FolderStore(tmp_path), DataSettings(), spec, {}, {}, 1, tell, "search", request_id), told

    return ask


def test_a_search_tries_parameters_within_their_space_and_ranks_them(asked: Asked) -> None:
    work, told = asked(trials=12, candidates=3)
    output, result = search(work, rows())
    assert output is None
    assert len(result["trials"]) == 12 and result["wanted"] == 12
    assert all(2 <= trial["params"]["num_leaves"] <= 15 for trial in result["trials"])
    assert all(0.01 <= trial["params"]["learning_rate"] <= 0.5 for trial in result["trials"])
    done = [trial["figure"] for trial in result["trials"] if trial["state"] == "done"]
    assert [one["figure"] for one in result["best"]] == sorted(done, reverse=True)[:3]
    assert 0.5 < result["baseline"] <= 1
    fractions = [fraction for fraction, _, _ in told]
    assert len(told) == 13 and fractions == sorted(fractions) and fractions[-1] <= 0.98
    assert told[-1][1] == result["words"]


def test_a_search_of_a_ranking_goes_by_ndcg(asked: Asked) -> None:
    work, _ = asked(trials=2)
    data = work.spec.data.model_copy(update={"query_column": "q"})
    target = work.spec.target.model_copy(update={"kind": "ranking"})
    work = replace(work, spec=parse_spec(to_builtins(work.spec.model_copy(update={"data": data, "target": target}))))
    signature, found = rows()
    ranking = replace(found, queries=np.repeat(np.arange(120), 10))
    _, result = search(work, (msgspec.structs.replace(signature, output="ranking", classes=[]), ranking))
    assert result["metric"] == "ndcg"
    assert 0.5 < result["best"][0]["figure"] <= 1


def test_the_same_request_finds_the_same_and_another_one_looks_elsewhere(asked: Asked) -> None:
    def params(request_id: str) -> list[Any]:
        return [trial["params"] for trial in search(asked(request_id, trials=3, prune=False)[0], rows())[1]["trials"]]

    assert params("s") == params("s") != params("other")


def test_a_search_that_is_begun_again_goes_on_after_its_last_trial(asked: Asked) -> None:
    work, told = asked(trials=6)
    search(work, rows())
    known = told[3][2]
    assert len(known["trials"]) == 3
    again, told = asked(trials=6)
    _, result = search(replace(again, earlier=known), rows())
    assert len(told) == 3
    assert result["trials"][:3] == known["trials"]
    assert len({str(trial["params"]) for trial in result["trials"]}) == 6


def test_hopeless_trials_are_pruned(asked: Asked) -> None:
    work, _ = asked(
        trials=20, space={"learning_rate": {"min": 0.00001, "max": 0.5}, "num_leaves": {"min": 2, "max": 15}}
    )
    states = [trial["state"] for trial in search(work, rows())[1]["trials"]]
    assert 0 < states.count("pruned") < 20


def test_a_search_ends_with_what_it_has_when_its_time_is_over(asked: Asked) -> None:
    work, _ = asked(trials=1000, time_limit="1500ms")
    _, result = search(work, rows())
    assert 0 < len(result["trials"]) < 1000
    spent = {"metric": "auc", "wanted": 5, "baseline": 0.7, "baseline_seconds": 99.0}
    late, _ = asked(trials=5, time_limit="90s")
    with pytest.raises(InvalidField, match=r"search\.time_limit: no trial came to its end within it \(0 of 5 trials"):
        search(replace(late, earlier=spent), rows())


def test_a_search_without_rows_to_judge_by_is_refused(asked: Asked) -> None:
    with pytest.raises(InvalidField, match=r"training\.validation"):
        search(asked()[0], rows(validation=0))
