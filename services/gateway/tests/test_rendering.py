"""Answers are the same, byte for byte, by the pieces of a version as in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.signature import Feature, Signature
from shipway.gateway.rendering import Rendering

FEATURES = [Feature(name="size", type="number")]
BINARY = Signature(features=FEATURES, output="binary", target="t", classes=["no %b", 'ja "☃"\n'])
REGRESSION = Signature(features=FEATURES, output="regression", target="t")
ID = "0123456789abcdef" * 2


@pytest.mark.parametrize("signature", [BINARY, REGRESSION])
@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_pieces_give_what_words_give(signature: Signature, numbers: list[float]) -> None:
    rendering = Rendering("a-model", 7, signature)
    assert rendering._row is not None
    ids, scores = [ID] * len(numbers), [[number] for number in numbers]
    assert rendering.answer(ids, scores) == rendering._in_words(ids, scores, False, None)


def test_what_is_more_than_a_number_is_told_in_words() -> None:
    several = Signature(features=FEATURES, output="multiclass", target="t", classes=["a", "b", "c"])
    told = json.loads(Rendering("m", 1, several).answer([ID], [[0.2, 0.7, 0.1]]))
    probabilities = {"a": 0.2, "b": 0.7, "c": 0.1}
    assert told["predictions"] == [{"id": ID, "label": "b", "probabilities": probabilities}]
    told = json.loads(Rendering("m", 1, BINARY).answer([ID], [[0.7]], looked_up={"people": 1}))
    assert (told["looked_up"], told["predictions"][0]["probability"]) == ({"people": 1}, 0.7)
