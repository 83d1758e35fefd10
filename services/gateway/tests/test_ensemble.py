"""What several answers make together, for any of them."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.gateway.ensemble import Answer, Failure, Unanswered, combine, required

YES = ("no", "yes")


def binary(model: str, *chances: float) -> Answer:
    return Answer(model, 1, YES, [{"id": "i", "label": YES[c >= 0.5], "probability": c} for c in chances])


def value(model: str, *values: float) -> Answer:
    return Answer(model, 1, (), [{"id": "i", "value": v} for v in values])


def several(model: str, **chances: float) -> Answer:
    label = max(chances, key=chances.__getitem__)
    return Answer(model, 1, tuple(chances), [{"id": "i", "label": label, "probabilities": chances}])


def ranking(model: str, score: float) -> Answer:
    return Answer(model, 1, (), [{"id": "i", "score": score, "rank": 1}])


LATE = Failure("late", 504, "no answer in time")


def test_too_few_answers_are_none_and_enough_name_the_others() -> None:
    answers = [binary("a", 0.2), binary("b", 0.4)]
    with pytest.raises(Unanswered, match="2 of 3 answered, 3 must: late: no answer in time") as refused:
        combine("mean", "all", answers, [LATE])
    assert (refused.value.status, refused.value.failures) == (504, [LATE])
    for require in ("any", 1, 2):
        made = combine("mean", require, answers, [LATE])
        assert made["partial"] and made["failed"][0]["model"] == "late"
        assert made["predictions"] == [{"label": "no", "probability": pytest.approx(0.3)}]
    with pytest.raises(Unanswered):
        combine("all", 3, answers, [LATE])


@pytest.mark.parametrize(
    ("statuses", "gravest"),
    [((503, 504), 504), ((503, 422, 502), 422), ((404, 504), 404), ((503,), 503), ((418,), 503)],
)
def test_what_the_asker_must_change_comes_first(statuses: tuple[int, ...], gravest: int) -> None:
    with pytest.raises(Unanswered) as refused:
        combine("all", "all", [], [Failure(str(s), s, "") for s in statuses])
    assert refused.value.status == gravest


def test_the_first_needs_no_other() -> None:
    made = combine("first", "all", [binary("b", 0.9)], [LATE])
    assert (made["partial"], [a["model"] for a in made["answers"]]) == (False, ["b"])
    assert "predictions" not in made


def test_a_mean_goes_by_the_names_of_the_classes() -> None:
    turned = Answer("b", 1, ("yes", "no"), [{"id": "i", "label": "yes", "probability": 0.2}])
    made = combine("mean", "all", [binary("a", 0.6), turned], [])
    assert made["predictions"] == [{"label": "yes", "probability": pytest.approx(0.7)}]
    made = combine("mean", "all", [several("a", x=0.2, y=0.5, z=0.3), several("b", z=0.9, y=0.1, x=0.0)], [])
    assert made["predictions"][0]["label"] == "z"
    assert made["predictions"][0]["probabilities"] == pytest.approx({"x": 0.1, "y": 0.3, "z": 0.6})


def test_a_tie_of_votes_goes_to_the_likelier() -> None:
    made = combine("vote", "all", [binary("a", 0.9), binary("b", 0.4)], [])
    assert made["predictions"] == [{"label": "yes", "votes": {"yes": 1, "no": 1}}]


@pytest.mark.parametrize(
    ("aggregate", "answers", "words"),
    [
        ("mean", [binary("a", 0.5), value("b", 3.0)], "the same kind"),
        ("vote", [binary("a", 0.5), several("b", x=0.5, y=0.2, z=0.3)], "the same classes"),
        ("vote", [value("a", 1.0), value("b", 3.0)], "no majority"),
        ("mean", [ranking("a", 1.0), ranking("b", 3.0)], "scales of their own; use all or first"),
        ("vote", [value("a", 1.0), ranking("b", 3.0)], "scales of their own"),
    ],
)
def test_what_can_not_be_made_one_is_refused(aggregate: Any, answers: list[Answer], words: str) -> None:
    with pytest.raises(Unanswered, match=words) as refused:
        combine(aggregate, "all", answers, [])
    assert refused.value.status == 422
    assert len(combine("all", "all", answers, [])["answers"]) == 2


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_mean_lies_between_and_a_vote_has_the_most(rows: list[list[float]]) -> None:
    answers = [binary(str(i), *chances) for i, chances in enumerate(rows)]
    means = combine("mean", "all", answers, [])["predictions"]
    votes = combine("vote", "all", answers, [])["predictions"]
    for row in range(3):
        chances = [one[row] for one in rows]
        assert min(chances) - 1e-9 <= means[row]["probability"] <= max(chances) + 1e-9
        labels = Counter(YES[chance >= 0.5] for chance in chances)
        assert votes[row]["votes"] == labels
        assert labels[votes[row]["label"]] == max(labels.values())


@given(st.integers(1, 20), st.integers(1, 20))
def test_how_many_must_answer(models: int, number: int) -> None:
    assert required("all", "mean", models) == models
    assert required("any", "vote", models) == required(number, "first", models) == 1
    assert required(number, "all", models) == number
